"""A learned state as a plain ONNX model."""
