"""Phase 4: The graph gets a loss, a backward pass and an optimizer."""
