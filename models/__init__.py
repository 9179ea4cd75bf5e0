"""Model definitions in PyTorch, and their export to ONNX."""
