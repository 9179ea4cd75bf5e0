"""Resizes raw images to those that a model takes."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import Builder


def build(height: int, width: int, dtype: ir.DataType) -> ir.Model:
    """Make the graph ``resize``.

    Input: ``x`` [N, C, h, w], raw values. Result: ``resized`` [N, C, H, W] of the same type, bilinear; where an image
    gets smaller, over a window as wide as its step, so that no pixel is passed over. As Pillow's ``resize`` does it
    with ``BILINEAR``: for uint8 no value differs from that by more than 1.

    Args:
        height: H, of the model's input.
        width: W.
        dtype: type of ``x``, float32 or uint8.
    """
    b = Builder("resize", "Resize images with a linear filter, without aliasing.")
    x = b.feed("x", dtype, ["N", "C", "h", "w"])
    resized = b.op.Resize(
        x, None, None, b.op.Identity([height, width]), mode="linear", antialias=1, exclude_outside=1, axes=[2, 3]
    )
    b.result("resized", resized, dtype, ["N", "C", height, width])
    return b.model()
