"""Phase 2: It is decided what trains, and the weights get their masks."""
