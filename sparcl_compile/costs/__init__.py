"""The costs of a graph: FLOPs, memory, and the times of layers on this machine."""
