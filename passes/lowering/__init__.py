"""Phase 3: Masks become smaller tensors or sparse operators, and the graph takes the form that is differentiated."""
