"""Sums of the squared distances of the raw values of each channel from its centre."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, Builder
from sparcl_compile.graphs.pixel_sums import centre, count_state, over_channels, raw_samples, sum_state, sum_type


def build(dtype: ir.DataType = FLOAT) -> ir.Model:
    """Make the graph ``sum_squares``: the second pass over the training samples, some at a time.

    Inputs: ``x`` [N, C, H, W], raw samples; state ``data.sum`` [C] and ``data.count`` int64 [] of all samples,
    ``data.squares`` [C] so far. Sums are int64 for uint8 samples and float64 for float32 ones.
    Result: ``data.squares.next``, with ``(x - c)^2`` of these samples added. The centre c of a channel is its mean,
    rounded to a whole number for uint8 samples.

    Args:
        dtype: type of ``x``, float32 or uint8.

    Raises:
        ValueError: raw samples are never of this type.
    """
    b = Builder("sum_squares", "Add the squared distances of some samples from the centres of the channels.")
    op = b.op
    x = raw_samples(b, dtype)
    total, count = sum_state(b, "data.sum", dtype), count_state(b)
    squares = sum_state(b, "data.squares", dtype)
    distance = op.Sub(x, op.Reshape(centre(b, total, count, dtype), [-1, 1, 1]))
    added = over_channels(b, op.Mul(distance, distance))
    b.result("data.squares.next", op.Add(squares, added), sum_type(dtype), ["C"])
    return b.model()
