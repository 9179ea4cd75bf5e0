"""Phase 5: The backward pass gets its order, and what is cheaper to compute again is not kept."""
