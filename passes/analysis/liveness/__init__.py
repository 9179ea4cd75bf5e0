"""When the values of a training graph live, and how many bytes that takes on ONNX Runtime's CPU provider."""
