"""Differentiation by ONNX Runtime's gradient builder, and the patterns of its backward graphs."""
