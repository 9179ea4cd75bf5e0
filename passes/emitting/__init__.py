"""Phase 7: The finished graphs and the first state become files."""
