"""What can be found out about a graph without editing it."""
