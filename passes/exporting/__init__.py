"""Phase 8: a learned graph for inference."""
