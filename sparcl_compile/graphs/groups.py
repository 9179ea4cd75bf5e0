"""Conversions between a weight's elements and its groups in ONNX operators, as ``Runs`` has them in NumPy."""

from collections.abc import Sequence
from typing import cast

import onnx_ir as ir

from sparcl_compile.graphs.builder import Builder
from sparcl_compile.passes.schemes.runs import Runs, padded


def split(b: Builder, values: ir.Value, runs: Runs, fill: float | int) -> ir.Value:
    """Values of the elements, float32 or int64 [n], as [before, blocks, size, after]; ``fill`` for what is missing."""
    op = b.op
    if runs.missing:
        rows = op.Reshape(values, [runs.before, runs.length, runs.after])
        values = op.Pad(rows, [0, 0, 0, 0, runs.missing, 0], fill)
    return op.Reshape(values, [runs.before, runs.blocks, runs.size, runs.after])


def join(b: Builder, values: ir.Value, runs: Runs) -> ir.Value:
    """The inverse of :func:`split`: [n]."""
    op = b.op
    if runs.missing:
        rows = op.Reshape(values, [runs.before, runs.blocks * runs.size, runs.after])
        values = op.Slice(rows, [0], [runs.length], [1])
    return op.Reshape(values, [-1])


def spread(b: Builder, flags: ir.Value, runs: Runs) -> ir.Value:
    """Flags of the groups, bool [groups], as flags of the elements, bool [n]."""
    op = b.op
    each = op.Reshape(flags, [runs.before, runs.blocks, 1, runs.after])
    return join(b, op.Expand(each, [runs.before, runs.blocks, runs.size, runs.after]), runs)


def total(b: Builder, values: ir.Value, size: int) -> ir.Value:
    """The sum over axis 2 of [before, blocks, size, after] in float32, in the fixed order of docs/algorithm.md.

    ReduceSum may add in any order, and then two platforms could remove different groups.
    """
    op, width = b.op, padded(size)
    if width > size:
        values = op.Pad(values, [0, 0, 0, 0, 0, 0, width - size, 0], 0.0)
    while width > 1:
        width //= 2
        halves = cast(Sequence[ir.Value], op.Split(values, axis=2, num_outputs=2, _outputs=2))
        values = op.Add(halves[0], halves[1])
    return values


def indices(b: Builder, count: int) -> ir.Value:
    """0, 1, ... as int64 [count]."""
    return b.op.Range(0, count, 1)
