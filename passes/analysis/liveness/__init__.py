"""Lifetimes of the values of a training graph, and the bytes that they take on ONNX Runtime's CPU provider."""
