"""What every pass shares: the contract, roles, marks, names, and the vocabulary to edit a graph."""
