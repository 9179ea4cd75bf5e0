"""The base of every pass: the contract, roles, marks, names, and the vocabulary to edit a graph."""
