"""Phase 2: what trains, and the masks on the weights."""
