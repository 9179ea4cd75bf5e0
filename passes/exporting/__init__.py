"""Phase 8: An evaluation graph and a learned state become a plain model for inference."""
