"""Plans the kept weights of each layer, channel space and row, at each level of the schedule."""
