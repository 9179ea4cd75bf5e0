"""Phase 7: the finished graphs as files."""
