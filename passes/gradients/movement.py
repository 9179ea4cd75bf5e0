"""Operators that move data about: shapes, orders, parts."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import int_attribute, ints_attribute, string_attribute
from sparcl_compile.passes.gradients.gradient import Gradient, Rule, each

OPEN = 2**31 - 1
"""An end of a Slice from which on exporters mean that of the axis."""


def _reshape(g: Gradient) -> ir.Value:
    return g.in_shape_of(g.x, g.dy)


def _transpose(g: Gradient) -> ir.Value:
    order = ints_attribute(g.node, "perm", list(reversed(range(g.rank(g.x)))))
    return g.transposed(g.dy, [int(axis) for axis in np.argsort(order)])


def _expand(g: Gradient) -> ir.Value:
    return g.gathered_from(0, g.dy)


def _tile(g: Gradient) -> ir.Value:
    """The sum over the copies, each of which has axes of its own for that time."""
    lengths, repeats = g.lengths(g.x), [int(r) for r in g.array(1).reshape(-1)]
    if any(length is None and repeat != 1 for length, repeat in zip(lengths, repeats, strict=True)):
        raise g.refusal("repeats an axis of unknown length")
    apart = [
        part
        for repeat, length in zip(repeats, lengths, strict=True)
        for part in ((repeat, length) if repeat != 1 else (length,))
    ]
    ends = np.cumsum([2 if repeat != 1 else 1 for repeat in repeats])
    copies = [int(end) - 2 for end, repeat in zip(ends, repeats, strict=True) if repeat != 1]
    if sum(length is None for length in apart) > 1:
        raise g.refusal("has several axes of unknown length")
    return g.summed(g.reshaped(g.dy, [-1 if length is None else length for length in apart]), copies)


def _concat(g: Gradient) -> Sequence[ir.Value | None]:
    """Each input gets its part of dy."""
    axis = int_attribute(g.node, "axis", 0) % g.rank(g.y)
    lengths = [g.lengths(g.input(number))[axis] for number in range(len(g.node.inputs))]
    if any(length is None for length in lengths):
        raise g.refusal("joins parts of unknown length")
    known = [int(length) for length in lengths if length is not None]
    if all(g.wants(number) for number in range(len(known))) and len(known) > 1:
        return g.outputs("Split", g.dy, g.ints(known), count=len(known), axis=axis)
    ends = np.cumsum(known)
    starts = ends - np.asarray(known)
    return [
        g.sliced(g.dy, [int(start)], [int(end)], [axis], [1]) if g.wants(number) else None
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def _split(g: Gradient) -> Sequence[ir.Value | None]:
    """The parts' gradients side by side, zeros for a part that the loss does not depend on."""
    axis = int_attribute(g.node, "axis", 0) % g.rank(g.x)
    found = [g.of_output(number) or g.zeros_like(out) for number, out in enumerate(g.node.outputs)]
    return [g.op("Concat", *found, axis=axis)]


def _slice(g: Gradient) -> ir.Value:
    """Dy at its place among zeros."""
    rank = g.rank(g.x)
    starts, ends = (g.array(number).reshape(-1) for number in (1, 2))
    axes = g.array(3).reshape(-1) if g.given(3) is not None else np.arange(len(starts))
    steps = g.array(4).reshape(-1) if g.given(4) is not None else np.ones(len(starts), np.int64)
    found = g.dy
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        found = _at_places(g, found, int(axis) % rank, slice(int(start), _end(int(end), int(step)), int(step)))
    return found


def _end(end: int, step: int) -> int | None:
    """The end as Python has it: None for one before the first element."""
    return None if step < 0 and end < -(2**31) else end


def _at_places(g: Gradient, part: ir.Value, axis: int, chosen: slice) -> ir.Value:
    length = g.lengths(g.x)[axis]
    if length is None and (chosen.start, chosen.step) == (0, 1) and chosen.stop is not None and chosen.stop >= OPEN:
        return part
    if length is None:
        raise g.refusal("cuts an axis of unknown length")
    places = range(length)[chosen]
    if len(places) == length and places.step == 1:
        return part
    if places.step == 1 and len(places):
        before, after = _along(g, axis, places[0]), _along(g, axis, length - places[-1] - 1)
        return g.padded(part, before, after)
    return _scattered(g, part, axis, length, list(places))


def _along(g: Gradient, axis: int, number: int) -> list[int]:
    return [number if each_axis == axis else 0 for each_axis in range(g.rank(g.x))]


def _scattered(g: Gradient, part: ir.Value, axis: int, length: int, places: Sequence[int]) -> ir.Value:
    """Each row at its place: a row of zeros is put behind them, and every place takes a row, or that one."""
    sources = np.full(length, len(places), np.int64)
    sources[list(places)] = np.arange(len(places))
    padded = g.padded(part, _along(g, axis, 0), _along(g, axis, 1))
    return g.op("Gather", padded, g.ints([int(source) for source in sources]), axis=axis)


def _pad(g: Gradient) -> ir.Value:
    """Dy without the margin."""
    if string_attribute(g.node, "mode", "constant") != "constant":
        raise g.refusal("pads with a copy of what it holds")
    rank, pads = g.rank(g.x), [int(p) for p in g.array(1).reshape(-1)]
    axes = [int(a) % rank for a in g.array(3).reshape(-1)] if g.given(3) is not None else list(range(rank))
    before, after = [0] * rank, [0] * rank
    for place, axis in enumerate(axes):
        before[axis], after[axis] = -pads[place], -pads[place + len(axes)]
    return g.padded(g.dy, before, after)


def _gather(g: Gradient) -> ir.Value:
    """Dy added to zeros at the rows that were taken; a row that was taken twice gets both."""
    axis = int_attribute(g.node, "axis", 0) % g.rank(g.x)
    rows, chosen = g.input(1), g.rank(g.input(1))
    # The axes of the rows first, as ScatterND wants them; the axis itself first in what it adds to.
    rest = [place for place in range(g.rank(g.y)) if not axis <= place < axis + chosen]
    dy = g.transposed(g.dy, [*range(axis, axis + chosen), *rest])
    order = [axis, *(each_axis for each_axis in range(g.rank(g.x)) if each_axis != axis)]
    zeros = g.transposed(g.zeros_like(g.x), order)
    # Gather takes int32 as well, as Keras' tokens are; ScatterND does not.
    wide = rows if rows.dtype == ir.DataType.INT64 else g.op("Cast", rows, to=int(ir.DataType.INT64))
    found = g.op("ScatterND", zeros, g.op("Unsqueeze", wide, g.ints([-1])), dy, reduction="add")
    return g.transposed(found, [int(place) for place in np.argsort(order)])


def _gather_elements(g: Gradient) -> ir.Value:
    axis = int_attribute(g.node, "axis", 0)
    return g.op("ScatterElements", g.zeros_like(g.x), g.input(1), g.dy, axis=axis, reduction="add")


def _gather_nd(g: Gradient) -> ir.Value:
    if int_attribute(g.node, "batch_dims", 0):
        raise g.refusal("takes rows of each batch apart")
    return g.op("ScatterND", g.zeros_like(g.x), g.input(1), g.dy, reduction="add")


def _top_k(g: Gradient) -> ir.Value:
    """Dy at the places of the largest."""
    axis = int_attribute(g.node, "axis", -1)
    return g.op("ScatterElements", g.zeros_like(g.x), g.node.outputs[1], g.dy, axis=axis)


def _trilu(g: Gradient) -> ir.Value:
    return g.op("Trilu", g.dy, g.given(1), upper=int_attribute(g.node, "upper", 1))


def _depth_to_space(g: Gradient) -> ir.Value:
    """SpaceToDepth, and for the order CRD a change of the channels' order behind it."""
    block = int_attribute(g.node, "blocksize", 1)
    found = g.op("SpaceToDepth", g.dy, blocksize=block)
    if string_attribute(g.node, "mode", "DCR") == "DCR":
        return found
    channels, height, width = g.static(g.x, 1)
    depth = channels // block**2
    apart = g.reshaped(found, [-1, block**2, depth, height * width])
    return g.reshaped(g.transposed(apart, [0, 2, 1, 3]), [-1, channels, height, width])


def _space_to_depth(g: Gradient) -> ir.Value:
    return g.op("DepthToSpace", g.dy, blocksize=int_attribute(g.node, "blocksize", 1))


def _cum_sum(g: Gradient) -> ir.Value:
    """The sum from the other end."""
    exclusive, reverse = int_attribute(g.node, "exclusive", 0), int_attribute(g.node, "reverse", 0)
    return g.op("CumSum", g.dy, g.input(1), exclusive=exclusive, reverse=1 - reverse)


RULES: Mapping[str, Rule] = {
    "Concat": _concat,
    "CumSum": each(_cum_sum),
    "DepthToSpace": each(_depth_to_space),
    "Expand": each(_expand),
    "Flatten": each(_reshape),
    "Gather": each(_gather),
    "GatherElements": each(_gather_elements),
    "GatherND": each(_gather_nd),
    "Pad": each(_pad),
    "Reshape": each(_reshape),
    "Slice": each(_slice),
    "SpaceToDepth": each(_space_to_depth),
    "Split": _split,
    "Squeeze": each(_reshape),
    "Tile": each(_tile),
    "TopK": each(_top_k),
    "Transpose": each(_transpose),
    "Trilu": each(_trilu),
    "Unsqueeze": each(_reshape),
}
