"""What is kept, per layer, channel space and row, at each level of the schedule."""
