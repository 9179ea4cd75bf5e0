"""ONNX Runtime, as the files of the runtime import it."""

from sparcl_compile.onnx_runtime import FRONT_END, hidden, ort

__all__ = ["FRONT_END", "hidden", "ort"]
