"""Sessions of ONNX Runtime over named state."""
