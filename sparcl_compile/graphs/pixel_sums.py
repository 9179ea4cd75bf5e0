"""The sums over raw samples that give their means and deviations; three graphs share them.

Bytes are summed in int64, so that every platform gets the same numbers; float values in float64.
"""

from collections.abc import Mapping

import onnx_ir as ir

from sparcl_compile.graphs.builder import DOUBLE, FLOAT, INT64, UINT8, Builder
from sparcl_compile.interface.names import Role

SUMS: Mapping[ir.DataType, ir.DataType] = {UINT8: INT64, FLOAT: DOUBLE}
"""The type of the sums, by the type of the raw samples."""


def sum_type(dtype: ir.DataType) -> ir.DataType:
    """The type of the sums over raw samples of this type.

    Raises:
        ValueError: raw samples are never of this type.
    """
    if dtype not in SUMS:
        raise ValueError(f"raw samples are UINT8 or FLOAT, not {dtype.name}")
    return SUMS[dtype]


def raw_samples(b: Builder, dtype: ir.DataType) -> ir.Value:
    """Add the feed ``x`` [N, C, H, W] and return it in the type of the sums."""
    return b.cast(b.feed("x", dtype, ["N", "C", "H", "W"]), sum_type(dtype))


def over_channels(b: Builder, values: ir.Value) -> ir.Value:
    """The sum of each channel: [C] of [N, C, H, W]."""
    return b.op.ReduceSum(values, [0, 2, 3], keepdims=0)


def sum_state(b: Builder, name: str, dtype: ir.DataType) -> ir.Value:
    """Add the state ``data.sum`` or ``data.squares``: [C] in the type of the sums."""
    return b.state(name, sum_type(dtype), ["C"], Role.DATA)


def count_state(b: Builder) -> ir.Value:
    """Add the state ``data.count``, how many values of each channel were summed: int64 []."""
    return b.state("data.count", INT64, [], Role.DATA)


def centre(b: Builder, total: ir.Value, count: ir.Value, dtype: ir.DataType) -> ir.Value:
    """The number that is taken from a channel's values before they are squared: [C] in the type of the sums.

    It is the mean for float values, and the whole number next to it for bytes: the squares then stay whole, and are
    hardly larger than the deviation makes them.
    """
    op = b.op
    if sum_type(dtype) is DOUBLE:
        return op.Div(total, b.cast(count, DOUBLE))
    # An integer division by zero ends the process, so no sample counts as one.
    count = op.Max(count, 1)
    return op.Div(op.Add(op.Mul(total, 2), count), op.Mul(count, 2))
