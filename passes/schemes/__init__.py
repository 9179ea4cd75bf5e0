"""Schemes: what of a weight is removed and grown together."""
