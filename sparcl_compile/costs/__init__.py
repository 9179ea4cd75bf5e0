"""What a graph costs: FLOPs, memory, and the times of layers on this machine."""
