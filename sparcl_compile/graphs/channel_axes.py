"""Axes with channels inside a graph: from flags and numbers of units to flags and indices of elements."""

from collections.abc import Callable, Sequence

import onnx_ir as ir

from sparcl_compile.graphs.builder import BOOL, Builder
from sparcl_compile.interface.channels import Segment

OfSpace = Callable[[str], ir.Value]
"""A vector [K] of a space: flags, or numbers of units."""


def element_indices(b: Builder, stored: Sequence[Segment], units: Sequence[Segment], numbers: OfSpace) -> ir.Value:
    """The positions of an axis's elements on another form of the axis: int64 [elements].

    Args:
        b: the graph.
        stored: the axis whose elements are meant, with K units a space.
        units: the same segments in the other form, with its starts and its number of units.
        numbers: by space, int64 [K], the unit of the other form for each unit.
    """
    op = b.op
    parts = []
    for mine, other in zip(stored, units, strict=True):
        if mine.space is None:
            parts.append(op.Range(other.start, other.start + other.length, 1))
            continue
        first = op.Add(op.Mul(numbers(mine.space), other.inner), other.start)
        if (mine.outer, mine.inner) == (1, 1):
            parts.append(first)
            continue
        blocks = op.Mul(op.Range(0, mine.outer, 1), other.units * other.inner)
        whole = op.Add(op.Reshape(blocks, [-1, 1, 1]), op.Reshape(first, [1, -1, 1]))
        parts.append(op.Reshape(op.Add(whole, op.Range(0, mine.inner, 1)), [-1]))
    return _joined(b, parts)


def element_flags(b: Builder, stored: Sequence[Segment], flags: OfSpace) -> ir.Value:
    """Flags of units (bool [K]) as flags of the elements of an axis; no space means True: bool [elements]."""
    op = b.op
    parts = []
    for one in stored:
        if one.space is None:
            parts.append(b.cast(op.Expand(1, [one.length]), BOOL))
            continue
        shape = [one.outer, one.units, one.inner]
        parts.append(op.Reshape(op.Expand(op.Reshape(flags(one.space), [1, -1, 1]), shape), [-1]))
    return _joined(b, parts)


def sums_of_units(b: Builder, along: ir.Value, segment: Segment) -> ir.Value:
    """The sums over the elements of each unit of one segment: float32 [units] of float32 [elements]."""
    op = b.op
    part = op.Slice(along, [segment.start], [segment.start + segment.length])
    if (segment.outer, segment.inner) == (1, 1):
        return part
    return op.ReduceSum(op.Reshape(part, [segment.outer, segment.units, segment.inner]), [0, 2], keepdims=0)


def along_axis(b: Builder, values: ir.Value, axis: int, rank: int) -> ir.Value:
    """A vector shaped so that it broadcasts along one axis of a tensor of this rank."""
    return b.op.Reshape(values, [-1 if a == axis else 1 for a in range(rank)])


def _joined(b: Builder, parts: Sequence[ir.Value]) -> ir.Value:
    return parts[0] if len(parts) == 1 else b.op.Concat(*parts, axis=0)
