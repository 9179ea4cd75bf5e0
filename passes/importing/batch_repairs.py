"""The batch that an exporter has written into a node, as a number or by leaving out its axis, becomes symbolic there.

Each repair looks at one operator of one kind and changes it only where the batch is certain: it is the one dimension
that grows when the input does. ``verify`` compares the whole with the original, row by row.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import array_of, int_attribute
from sparcl_compile.passes.core.layers import RECURRENT
from sparcl_compile.passes.core.worlds import RATIO
from sparcl_compile.passes.importing.batch_place import ALONE, allows_zero, batch_place, resolved
from sparcl_compile.passes.importing.batch_recurrent import repair_recurrent
from sparcl_compile.passes.importing.batch_trace import Trace
from sparcl_compile.passes.importing.last_windows import repair_pool

Repair = Callable[[Trace, ir.Node], None]
LAST = np.iinfo(np.int64).max
FROM_BACK = {"MatMul": 2}
"""By operator how many axes at the end do not broadcast."""


def repair_reshape(t: Trace, node: ir.Node) -> None:
    """A target that holds the batch, as a number or computed from Shape, is a constant with -1 there.

    Where one row becomes a vector, the batch stays as a hidden axis in front of it.
    """
    source, target = node.inputs[0], node.inputs[1]
    axis, wanted = t.axis(source), t.worlds.small.data(target)
    if axis is None or wanted is None or wanted.ndim != 1 or source is None:
        return
    shape = resolved(t.stated(source), wanted, allows_zero(node))
    place = batch_place(t.small(source), axis, t.carriers[source], shape, t.batch)
    if place is None:
        return
    if t.batch == 1 and len(shape) == 1 and place[1] != ALONE and (axis, t.carriers[source]) == (0, ALONE):
        reshape(t, node, [-1, *shape])
        t.hidden.add(node.outputs[0])
        return
    at, t.carriers[node.outputs[0]] = place
    constant = t.worlds.constant(target)
    if source not in t.hidden and constant is not None and _already(t, source, at, shape, constant, node):
        return
    reshape(t, node, [-1 if i == at else length for i, length in enumerate(shape)])


def reshape(t: Trace, node: ir.Node, target: list[int]) -> None:
    """Let a node be a Reshape to this target."""
    given, shape = node.inputs[0], t.at(node).ints("shape", target)
    node.op_type = "Reshape"
    node.attributes.clear()
    node.resize_inputs(2)
    node.replace_input_with(0, given)
    node.replace_input_with(1, shape)


def _already(t: Trace, source: ir.Value, axis: int, shape: tuple[int, ...], target: np.ndarray, node: ir.Node) -> bool:
    """Whether a constant target does the right thing at the larger batch as it stands."""
    larger = t.worlds.large.shape(source) or ()
    right = tuple(length * RATIO if i == axis else length for i, length in enumerate(shape))
    return resolved(larger, target, allows_zero(node)) == right


def repair_flatten(t: Trace, node: ir.Node) -> None:
    """A Flatten that puts a batch of 1 among the features leaves it in front of them."""
    source = node.inputs[0]
    axis, shape = t.axis(source), t.small(source)
    first = int_attribute(node, "axis", 1) % (len(shape) or 1)
    if axis is None or source is None or source in t.hidden or first > axis:
        return
    as_reshape(t, node, (int(np.prod(shape[:first])), int(np.prod(shape[first:]))))


def repair_unsqueeze(t: Trace, node: ir.Node) -> None:
    """An axis of length 1 that is put in front of one row becomes the batch, where that has lost its own."""
    source, axes = node.inputs[0], t.worlds.constant(node.inputs[1])
    axis = t.axis(source)
    if axis is None or axes is None or source is None:
        return
    rank = len(t.stated(source)) + axes.size
    places = sorted(int(one) % rank for one in axes.reshape(-1))
    if source not in t.hidden:
        after = list(t.small(source))
        for place in places:
            after.insert(place, 1)
        as_reshape(t, node, tuple(after))
    elif places[0] == 0 and len(places) == 1:
        t.pass_on(node, source)
    elif places[0] == 0:
        node.replace_input_with(1, t.at(node).ints("axes", places[1:]))
    else:
        node.replace_input_with(1, t.at(node).ints("axes", [place + 1 for place in places]))
        t.hidden.add(node.outputs[0])


def as_reshape(t: Trace, node: ir.Node, after: tuple[int, ...]) -> None:
    """Let a node be a Reshape where that gives a batch among the features an axis of its own."""
    source = node.inputs[0]
    axis = t.axis(source)
    if axis is None or source is None:
        return
    merged = t.carriers[source] != ALONE or node.op_type == "Flatten"
    place = batch_place(t.small(source), axis, t.carriers[source], after, t.batch)
    if not merged or place is None or place[1] != ALONE:
        return
    t.carriers[node.outputs[0]] = ALONE
    reshape(t, node, [-1 if i == place[0] else length for i, length in enumerate(after)])


def repair_squeeze(t: Trace, node: ir.Node) -> None:
    """A Squeeze leaves the batch, which is 1 in the file or for a single row."""
    source, shape = node.inputs[0], t.worlds.large.shape(node.inputs[0])
    if shape is None:
        return
    if squeezes_all(node):
        node.resize_inputs(2)
        axes = [axis for axis, length in enumerate(shape) if length == 1]
        node.replace_input_with(1, t.at(node).ints("axes", axes))
        if t.batch == 1 and t.axis(source) == 0:
            t.hidden.add(node.outputs[0])
        return
    given, axis = t.worlds.constant(node.inputs[1]), t.axis(source)
    if given is None or axis != 0 or t.batch != 1 or source is None or t.carriers[source] != ALONE:
        return
    rank, shift = len(t.stated(source)), int(source in t.hidden)
    places = sorted(int(one) % rank + shift for one in given.reshape(-1))
    if places[0] != 0 and not shift:
        return
    t.hidden.add(node.outputs[0])
    rest = [place for place in places if place]
    if rest:
        node.replace_input_with(1, t.at(node).ints("axes", rest))
    else:
        t.pass_on(node, source, hidden=True)


def squeezes_all(node: ir.Node) -> bool:
    """Whether a node is a Squeeze of every axis of length 1."""
    given = [value for value in node.inputs[1:] if value is not None]
    return node.op_type == "Squeeze" and not given and "axes" not in node.attributes


def repair_gather(t: Trace, node: ir.Node) -> None:
    """Rows that are taken by their numbers are all rows, where the file's batch has no others; or places in them."""
    source, index = node.inputs[0], t.worlds.constant(node.inputs[1])
    if t.axis(source) != 0 or index is None or source is None or source in t.hidden or index.ndim > 1:
        return
    outer, inner = t.carriers[source]
    if int_attribute(node, "axis", 0) % len(t.small(source)) != 0 or outer != 1:
        return
    if inner == 1 and np.array_equal(index.reshape(-1), np.arange(t.batch)):
        t.pass_on(node, source, hidden=index.ndim == 0)
    elif inner > 1 and index.size == t.batch and len(set(index.reshape(-1) - inner * np.arange(t.batch))) == 1:
        rows = t.at(node).ints("rows", [-1, inner, *t.small(source)[1:]])
        pick(t, node, t.at(node).op("Reshape", source, rows), [int(index.reshape(-1)[0])])


def repair_gather_nd(t: Trace, node: ir.Node) -> None:
    """One place of every row (``x[arange(N), 3]``) is a place behind the axis of the batch."""
    source, index = node.inputs[0], t.worlds.small.data(node.inputs[1])
    if t.axis(source) != 0 or index is None or index.ndim != 2 or len(index) != t.batch or source in t.hidden:
        return
    if int_attribute(node, "batch_dims", 0) or not np.array_equal(index[:, 0], np.arange(t.batch)):
        return
    if np.all(index[:, 1:] == index[0, 1:]):
        pick(t, node, source, [int(place) for place in index[0, 1:]])


def pick(t: Trace, node: ir.Node, source: ir.Value | None, places: list[int]) -> None:
    """Let a node give one place of each row, along the axes behind the batch."""
    picked, insert = [source], t.at(node)
    for place in places:
        picked.append(insert.op("Gather", picked[-1], insert.const("place", place, np.int64), axis=1))
    t.pass_on(node, t.visited(*(value for value in picked if value is not None)))


def repair_slice(t: Trace, node: ir.Node) -> None:
    """A Slice that takes all rows of the file's batch takes all rows of any."""
    source = node.inputs[0]
    bounds = [t.worlds.constant(value) for value in node.inputs[1:4]]
    axis = t.axis(source)
    if axis is None or len(bounds) < 2 or any(bound is None for bound in bounds) or source in t.hidden:
        return
    shape = t.small(source)
    starts, ends = (np.asarray(bound).reshape(-1) for bound in bounds[:2])
    axes = np.arange(len(starts)) if len(bounds) < 3 else np.asarray(bounds[2]).reshape(-1) % len(shape)
    steps = t.worlds.constant(node.inputs[4]) if len(node.inputs) > 4 and node.inputs[4] is not None else None
    found = np.flatnonzero((axes == axis) & (starts == 0) & (ends == shape[axis]))
    if not found.size or (steps is not None and steps.reshape(-1)[found[0]] != 1):
        return
    node.replace_input_with(2, t.at(node).ints("ends", [LAST if i in found else int(e) for i, e in enumerate(ends)]))


def repair_concat(t: Trace, node: ir.Node) -> None:
    """An unbatched operand beside batched ones (a class token) is repeated for every row."""
    like = next((value for value in node.inputs if t.axis(value) is not None), None)
    axis = t.axis(like)
    if axis is None or node.attributes["axis"].as_int() % len(t.small(like)) == axis:
        return
    for index, value in enumerate(node.inputs):
        if value is not None and t.small(value) and not t.worlds.batch_axes(value):
            node.replace_input_with(index, _expanded(t, node, value, like, axis))


def _expanded(t: Trace, node: ir.Node, value: ir.Value, like: ir.Value | None, axis: int) -> ir.Value:
    """``value``, equal for all rows, repeated along the batch axis of ``like``."""
    data = t.worlds.constant(value)
    if data is not None and t.batch > 1:
        value = t.at(node).const("row", np.take(data, [0], axis=axis), data.dtype.type)
    after = len(t.small(like)) - axis - 1
    target = t.lengths_with_batch(node, like, axis, [1] * axis, [1] * after)
    return t.visited(t.at(node).op("Expand", value, target))


def repair_expand(t: Trace, node: ir.Node) -> None:
    """An Expand of a batched value has 1 in the place of the batch; one to the batch begins with one row."""
    _from_one_row(t, node)
    axis, target = t.axis(node.inputs[0]), t.worlds.constant(node.inputs[1])
    if axis is None or target is None or target.ndim != 1:
        return
    place = axis + len(target) - len(t.small(node.inputs[0]))
    if place >= 0 and target[place] != 1:
        lengths = [*target[:place], 1, *target[place + 1 :]]
        node.replace_input_with(1, t.at(node).ints("shape", lengths))


def _from_one_row(t: Trace, node: ir.Node) -> None:
    data = t.worlds.constant(node.inputs[0])
    small, large = (world.data(node.inputs[1]) for world in (t.worlds.small, t.worlds.large))
    if data is None or small is None or large is None or len(small) != data.ndim:
        return
    for axis in np.flatnonzero(small != large):
        row = np.take(data, [0], axis=axis)
        if data.shape[axis] > 1 and np.array_equal(np.broadcast_to(row, data.shape), data):
            node.replace_input_with(0, t.at(node).const("row", row, data.dtype.type))


def repair_resize(t: Trace, node: ir.Node) -> None:
    """The sizes of a Resize name the batch: that one is the input's."""
    source = node.inputs[0]
    sizes = t.worlds.constant(node.inputs[3]) if len(node.inputs) > 3 else None
    if sizes is None or t.axis(source) != 0 or "axes" in node.attributes or sizes[0] != t.batch:
        return
    node.replace_input_with(3, t.lengths_with_batch(node, source, 0, [], [int(length) for length in sizes[1:]]))


def repair_rows(t: Trace, node: ir.Node) -> None:
    """A constant that says the same for every row of a larger batch says it once."""
    batched = [value for value in node.inputs if t.axis(value) is not None]
    if t.batch == 1 or not batched:
        return
    rank = max(len(t.small(value)) for value in node.inputs)
    axis = (t.axis(batched[0]) or 0) + rank - len(t.small(batched[0]))
    if axis >= rank - FROM_BACK.get(node.op_type, 0):
        return
    for index, value in enumerate(node.inputs):
        data = array_of(value)
        place = axis - rank + len(t.small(value))
        if data is None or place < 0 or data.shape[place] != t.batch:
            continue
        row = np.take(data, [0], axis=place)
        if np.array_equal(np.broadcast_to(row, data.shape), data):
            node.replace_input_with(index, t.at(node).const("row", row, data.dtype.type))


REPAIRS: dict[str, Repair] = {
    "Reshape": repair_reshape,
    "Flatten": repair_flatten,
    "Unsqueeze": repair_unsqueeze,
    "Squeeze": repair_squeeze,
    "Gather": repair_gather,
    "GatherND": repair_gather_nd,
    "Slice": repair_slice,
    "Concat": repair_concat,
    "Expand": repair_expand,
    "Resize": repair_resize,
    **dict.fromkeys(RECURRENT, repair_recurrent),
    **dict.fromkeys(("AveragePool", "MaxPool"), repair_pool),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Where", "PRelu", "MatMul"), repair_rows),
}
