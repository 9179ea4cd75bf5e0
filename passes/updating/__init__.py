"""Phase 6: which gradients are computed, and where the parameters move."""
