"""Phase 5: the order of the backward pass, and what is computed twice."""
