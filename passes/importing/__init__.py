"""Phase 1: Any ONNX classifier becomes the one forward graph that every later pass works on."""
