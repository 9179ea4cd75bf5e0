"""Phase 3: the masks become smaller tensors or sparse operators."""
