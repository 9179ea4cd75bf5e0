"""Sums of the raw values of each channel."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.pixel_sums import count_state, over_channels, raw_samples, sum_state, sum_type


def build(dtype: ir.DataType = FLOAT) -> ir.Model:
    """Make the graph ``sum_pixels``: the first of two passes over the training samples, some at a time.

    Inputs: ``x`` [N, C, H, W], raw samples; state ``data.sum`` [C], int64 for uint8 samples and float64 for float32
    ones, and ``data.count`` int64 [], values of a channel so far.
    Results: ``data.sum.next`` and ``data.count.next``, with these samples added.

    Args:
        dtype: type of ``x``, float32 or uint8.

    Raises:
        ValueError: raw samples are never of this type.
    """
    b = Builder("sum_pixels", "Add the raw values of some samples to the sums of the channels.")
    op = b.op
    x = raw_samples(b, dtype)
    total, count = sum_state(b, "data.sum", dtype), count_state(b)
    values = op.ReduceProd(op.Gather(op.Shape(x), [0, 2, 3]), keepdims=0)
    b.result("data.sum.next", op.Add(total, over_channels(b, x)), sum_type(dtype), ["C"])
    b.result("data.count.next", op.Add(count, values), INT64, [])
    return b.model()
