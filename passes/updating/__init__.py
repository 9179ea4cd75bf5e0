"""Phase 6: Only the chosen gradients are computed, and the parameters move where that can be done at once."""
