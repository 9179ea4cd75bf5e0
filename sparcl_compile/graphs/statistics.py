"""Mean and standard deviation of each channel, from the sums over the training samples."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import DOUBLE, FLOAT, UINT8, Builder
from sparcl_compile.graphs.pixel_sums import centre, count_state, sum_state

PIXEL_MAX = 255.0
STD_FLOOR = 0.01
"""Least standard deviation of a channel, as a share of the median of those that vary."""
RESOLUTION = 2.0**-23
"""The distance from 1 to the next float32."""


def build(dtype: ir.DataType = FLOAT) -> ir.Model:
    """Make the graph ``statistics``.

    Inputs: state ``data.sum`` and ``data.squares`` [C], ``data.count`` int64 [], as ``sum_pixels`` and ``sum_squares``
    leave them. Results: ``data.mean.next`` and ``data.std.next`` float32 [C], for ``(x / 255 - mean) / std``; the
    deviation is that of the population.

    A channel that hardly varies gets ``STD_FLOOR`` times the median deviation (the lower of two) of the channels that
    vary beyond float32's resolution, or 1 when none does: a feature that first varies in the test set must not
    explode. A mean would go by the column of a table with the smallest unit, beside which all others look constant.

    Args:
        dtype: type of the raw samples, float32 or uint8.

    Raises:
        ValueError: raw samples are never of this type.
    """
    b = Builder("statistics", "Mean and standard deviation of each channel from its sums.")
    op = b.op
    total, squares, count = sum_state(b, "data.sum", dtype), sum_state(b, "data.squares", dtype), count_state(b)
    values = b.cast(count, DOUBLE)
    mean = op.Div(b.cast(total, DOUBLE), values)
    offset = op.Sub(mean, b.cast(centre(b, total, count, dtype), DOUBLE))
    variance = op.Sub(op.Div(b.cast(squares, DOUBLE), values), op.Mul(offset, offset))
    std = _floored(b, mean, _scaled(b, op.Sqrt(variance), dtype), dtype)
    for name, value in (("data.mean", _scaled(b, mean, dtype)), ("data.std", std)):
        b.result(f"{name}.next", _in_units_of_255(b, b.cast(value, FLOAT), dtype), FLOAT, ["C"])
    return b.model()


def _floored(b: Builder, mean: ir.Value, std: ir.Value, dtype: ir.DataType) -> ir.Value:
    op = b.op
    with b.scope("floor"):
        varies = op.Greater(std, _scaled(b, op.Mul(op.Abs(mean), RESOLUTION), dtype))
        ordered, _ = b.top(op.Where(varies, std, op.Sub(std, std)), b.size(std), largest=True)
        median = op.Gather(ordered, op.Div(b.count(varies), 2))
        return op.Where(op.Greater(median, 0.0), op.Max(std, op.Mul(median, STD_FLOOR)), 1.0)


def _scaled(b: Builder, value: ir.Value, dtype: ir.DataType) -> ir.Value:
    """Scale bytes to 0 to 1; float values stay as they are."""
    return b.op.Div(value, PIXEL_MAX) if dtype is UINT8 else value


def _in_units_of_255(b: Builder, value: ir.Value, dtype: ir.DataType) -> ir.Value:
    """Scale for graphs that divide the raw values of every sample by 255, bytes or not."""
    return value if dtype is UINT8 else b.op.Mul(value, 1.0 / PIXEL_MAX)
