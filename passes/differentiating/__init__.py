"""Phase 4: loss, backward graph, gradient masks, optimizer."""
