"""Sparse convolutions in the place of the nodes that read masked weights."""
