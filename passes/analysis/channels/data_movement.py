"""Rules of operators that move elements: reshaping, transposing, cutting, joining, repeating."""

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.analysis.channels.elementwise import meet
from sparcl_compile.passes.analysis.channels.labels import QUIET, Axis, Cause, distinct, first_cause
from sparcl_compile.passes.analysis.channels.walk import Axes, Rule, Split, Trace, positions, unknown, whole
from sparcl_compile.passes.core.edit import array_of, int_attribute, ints_attribute, string_attribute

PICKS = "its elements are picked by their places"
Blocks = list[tuple[range, range]]
"""Runs of axes before and after a Reshape that hold the same elements."""


def moving(rule: Rule) -> Rule:
    """A rule whose output is a weight when its first input is one."""

    def wrapped(t: Trace, node: ir.Node) -> list[Axes]:
        if node.inputs[0] in t.weights:
            t.weights.update(node.outputs)
        return rule(t, node)

    return wrapped


def transpose(t: Trace, node: ir.Node) -> list[Axes]:
    """Axes in another order."""
    x = t.axes(node, 0)
    return [[x[axis] for axis in ints_attribute(node, "perm", range(len(x))[::-1])]]


def reshape(t: Trace, node: ir.Node) -> list[Axes]:
    """Reshape, Flatten, Squeeze and Unsqueeze: row-major elements, other lengths."""
    x, before, after = t.axes(node, 0), t.shape(node.inputs[0]), t.shape(node.outputs[0])
    out: Axes = [QUIET] * len(after)
    for number, (old, new) in enumerate(common_blocks(before, after)):
        long = [axis for axis in new if after[axis] > 1]
        if not long:
            continue
        labels = merged(t, node, x[old.start : old.stop], before[old.start : old.stop])
        if isinstance(labels, Cause):
            parts: Axes = [labels] * len(long)
        else:
            parts = divided(t, node, number, labels, tuple(after[axis] for axis in long))
        for axis, part in zip(long, parts, strict=True):
            out[axis] = part
    follow_target(t, node, out)
    return [out]


def common_blocks(before: tuple[int, ...], after: tuple[int, ...]) -> Blocks:
    """The smallest runs of axes with the same number of elements, in order."""
    found: Blocks = []
    i = j = 0
    while i < len(before) or j < len(after):
        first, second = i, j
        i, j = _end_of_block(before, after, i, j)
        found.append((range(first, i), range(second, j)))
    return found


def _end_of_block(before: tuple[int, ...], after: tuple[int, ...], i: int, j: int) -> tuple[int, int]:
    """Where the block that begins at these axes ends: the side with fewer elements takes one more axis."""
    left, i = (before[i], i + 1) if i < len(before) else (1, i)
    right, j = (after[j], j + 1) if j < len(after) else (1, j)
    while left != right:
        if left < right:
            left, i = left * before[i], i + 1
        else:
            right, j = right * after[j], j + 1
    return i, j


def merged(t: Trace, node: ir.Node, axes: Axes, lengths: tuple[int, ...]) -> Axis:
    """The elements of several axes as one: labels of the longest labelled axis; the others must stay."""
    labelled = [i for i, axis in enumerate(axes) if isinstance(axis, np.ndarray)]
    if not labelled:
        return first_cause(axes)
    chosen = max(labelled, key=lambda i: lengths[i])
    t.block(node, [axes[i] for i in labelled if i != chosen], "joins two axes that hold channels")
    shape = [length if i == chosen else 1 for i, length in enumerate(lengths)]
    labels = np.asarray(axes[chosen])
    if math.prod(lengths) == len(labels):
        return labels
    return np.ascontiguousarray(np.broadcast_to(labels.reshape(shape), lengths)).reshape(-1)


def divided(t: Trace, node: ir.Node, number: int, labels: np.ndarray, lengths: tuple[int, ...]) -> Axes:
    """Elements split over several axes: one of them keeps labels, what lies side by side along the others is tied.

    Which one is a choice (the heads or the size of a head): finest first, see ``Trace.choices``.
    """
    if len(lengths) == 1:
        return [labels]
    tables = [np.moveaxis(labels.reshape(lengths), axis, 0).reshape(n, -1) for axis, n in enumerate(lengths)]
    units = [distinct(table) for table in tables]
    order = sorted(range(len(tables)), key=lambda axis: -units[axis])
    candidates = [axis for axis in order if units[axis] > 1] or order[:1]
    key = f"{node.name}/{number}"
    chosen = candidates[t.choices.get(key, 0)]
    rest = t.cause(node, "splits it into parts of a unit")
    kept = tables[chosen][:, 0].copy()
    t.splits.append(Split(key, labels, kept, len(candidates), rest))
    t.ties.tie_rows(tables[chosen])
    return [kept if axis == chosen else rest for axis in range(len(lengths))]


def follow_target(t: Trace, node: ir.Node, out: Axes) -> None:
    """Note the lengths in a Reshape's target; one that is inferred follows by itself."""
    if node.op_type != "Reshape":
        return
    target = array_of(node.inputs[1])
    for entry, axis in enumerate(out):
        if target is None or target[entry] != -1:
            t.follow(node, 1, entry, axis)


def split(t: Trace, node: ir.Node) -> list[Axes]:
    """Parts of an axis."""
    x = t.axes(node, 0)
    axis = int_attribute(node, "axis", 0) % len(x)
    outs: list[Axes] = []
    start = 0
    for number, value in enumerate(node.outputs):
        length = t.shape(value)[axis]
        part = piece(x[axis], start, start + length)
        t.follow(node, 1, number, part)
        outs.append([*x[:axis], part, *x[axis + 1 :]])
        start += length
    return outs


def piece(axis: Axis, start: int, end: int) -> Axis:
    """A run of an axis."""
    if isinstance(axis, Cause):
        return axis
    return axis[start:end]


def slice_(t: Trace, node: ir.Node) -> list[Axes]:
    """Slice: runs of labelled axes, anything along the others."""
    out = list(t.axes(node, 0))
    lengths = t.shape(node.inputs[0])
    bounds = [t.world.data(value) for value in node.inputs[1:]]
    if any(value is not None and data is None for value, data in zip(node.inputs[1:], bounds, strict=True)):
        return unknown(t, node)
    starts, ends = bounds[:2]
    axes = bounds[2] if len(bounds) > 2 and bounds[2] is not None else range(len(starts))  # type: ignore[arg-type]
    steps = bounds[3] if len(bounds) > 3 and bounds[3] is not None else [1] * len(axes)
    for entry, (start, end, place, step) in enumerate(zip(starts, ends, axes, steps, strict=True)):  # type: ignore[arg-type]
        axis = int(place) % len(lengths)
        first, last, _ = slice(int(start), int(end), int(step)).indices(lengths[axis])
        out[axis] = cut(t, node, entry, (out[axis], lengths[axis]), (first, last, int(step)))
    return [out]


def cut(t: Trace, node: ir.Node, entry: int, axis: tuple[Axis, int], bounds: tuple[int, int, int]) -> Axis:
    """One axis (and its length) of a Slice from, to and by ``bounds``."""
    labels, length = axis
    first, last, step = bounds
    if isinstance(labels, Cause) or (first, last, step) == (0, length, 1):
        return labels
    if step != 1:
        t.block(node, [labels], "takes every so many of it")
        return t.cause(node, "takes every so many of it")
    t.follow(node, 1, entry, labels[:first])
    t.follow(node, 2, entry, labels[:last])
    return labels[first:last]


def concat(t: Trace, node: ir.Node) -> list[Axes]:
    """Parts side by side along an axis; along the others they meet."""
    parts = [t.axes(node, slot) for slot in range(len(node.inputs))]
    shapes = [t.shape(value) for value in node.inputs]
    axis = int_attribute(node, "axis", 0) % len(parts[0])
    out: Axes = [meet(t, [part[i] for part in parts]) if i != axis else QUIET for i in range(len(parts[0]))]
    along = [part[axis] for part in parts]
    if all(isinstance(one, Cause) for one in along):
        out[axis] = first_cause(along)
    else:
        pieces = [t.ties.labelled(one, shape[axis]) for one, shape in zip(along, shapes, strict=True)]
        out[axis] = np.concatenate(pieces)
    return [out]


def expand(t: Trace, node: ir.Node) -> list[Axes]:
    """Expand: axes of length one are repeated, the others pass."""
    x, before, after = t.axes(node, 0), t.shape(node.inputs[0]), t.shape(node.outputs[0])
    x, before = [*[QUIET] * (len(after) - len(before)), *x], (*[1] * (len(after) - len(before)), *before)
    repeated = t.cause(node, "repeats one element along it")
    out: Axes = [one if a == b else repeated for one, a, b in zip(x, before, after, strict=True)]
    target = t.world.data(node.inputs[1])
    for entry, axis in enumerate(range(-t.shape(node.inputs[1])[0], 0)):
        if target is None or target[entry] != 1:
            t.follow(node, 1, entry, out[axis])
    return [out]


def tile(t: Trace, node: ir.Node) -> list[Axes]:
    """Repetitions of whole axes."""
    repeats = t.world.data(node.inputs[1])
    if repeats is None:
        return unknown(t, node)
    return [[one if n == 1 else repeat(t, node, one, int(n)) for one, n in zip(t.axes(node, 0), repeats, strict=True)]]


def repeat(t: Trace, node: ir.Node, axis: Axis, times: int) -> Axis:
    """An axis several times in a row."""
    if isinstance(axis, Cause):
        return axis if axis != QUIET else t.cause(node, "repeats one element along it")
    return np.tile(axis, times)


def depth_to_space(t: Trace, node: ir.Node) -> list[Axes]:
    """The channels that become the pixels of a block go together, as one channel."""
    batch, channels, *plane = t.axes(node, 0)
    if isinstance(channels, np.ndarray):
        pixels, crd = int_attribute(node, "blocksize", 1) ** 2, string_attribute(node, "mode", "DCR") == "CRD"
        table = channels.reshape(-1, pixels) if crd else channels.reshape(pixels, -1).T
        t.ties.tie_rows(table)
        channels = table[:, 0]
    return [[batch, channels, *positions(t, node, plane, 2)]]


def space_to_depth(t: Trace, node: ir.Node) -> list[Axes]:
    """All channels once for each pixel of a block."""
    batch, channels, *plane = t.axes(node, 0)
    again = repeat(t, node, channels, int_attribute(node, "blocksize", 1) ** 2)
    return [[batch, again, *positions(t, node, plane, 2)]]


def pad(t: Trace, node: ir.Node) -> list[Axes]:
    """Zeros or another constant before and after; new elements of a labelled axis are free of all others."""
    x, amounts = list(t.axes(node, 0)), t.world.data(node.inputs[1])
    given = t.world.data(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] is not None else range(len(x))
    plain = string_attribute(node, "mode", "constant") == "constant"
    if amounts is None or given is None or not plain or min(amounts) < 0:
        return unknown(t, node)
    count = len(amounts) // 2
    for entry, place in enumerate(given):
        axis, around = int(place), [int(amounts[entry]), int(amounts[entry + count])]
        labels = x[axis]
        if not any(around) or isinstance(labels, Cause):
            continue
        before, after = (t.ties.fresh(n) for n in around)
        t.follow(node, 1, entry, before)
        t.follow(node, 1, entry + count, after)
        x[axis] = np.concatenate([before, labels, after])
    return [x]


def gather(t: Trace, node: ir.Node) -> list[Axes]:
    """Elements by number along an axis, which stays; the others pass."""
    data, shape = t.axes(node, 0), t.shape(node.inputs[1])
    axis = int_attribute(node, "axis", 0) % len(data)
    reason = "picks elements by their number"
    t.block(node, [data[axis], *t.axes(node, 1)], reason)
    picked: Axes = [t.cause(node, reason) if length > 1 else QUIET for length in shape]
    return [[*data[:axis], *picked, *data[axis + 1 :]]]


def picked(t: Trace, node: ir.Node) -> list[Axes]:
    """GatherElements and GatherND: an index means a place, so that all places stay."""
    t.block(node, [axis for slot in (0, 1) for axis in t.axes(node, slot)], PICKS)
    return [whole(t, node, node.outputs[0], PICKS)]


def made(t: Trace, node: ir.Node) -> list[Axes]:
    """Values made from numbers, not from elements."""
    return [whole(t, node, value, "made from its length") for value in node.outputs]


MOVING: dict[str, Callable[[Trace, ir.Node], list[Axes]]] = {
    "Transpose": transpose,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), reshape),
    "Split": split,
    "Slice": slice_,
}
RULES: dict[str, Rule] = {
    **{name: moving(rule) for name, rule in MOVING.items()},
    "Concat": concat,
    "Expand": expand,
    "Tile": tile,
    **dict.fromkeys(("GatherElements", "GatherND"), picked),
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Pad": pad,
    "Gather": gather,
    **dict.fromkeys(("Range", "ConstantOfShape"), made),
}
