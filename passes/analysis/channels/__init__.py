"""Which channels of a graph can only be removed together, and removing them."""
