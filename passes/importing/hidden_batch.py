"""Operators on values whose batch the file leaves out: their axes count one more.

A file for a batch of 1 may take that axis away (a squeeze of all axes, ``x[0]``, a Reshape to a vector). Its values
then have the batch in front of their axes here, and what counts axes from the front is told so. Operators that count
from the back or compute elementwise need nothing; what cannot be repaired is refused by shape inference or by
``verify``.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import int_attribute, ints_attribute, kept_attributes
from sparcl_compile.passes.importing.batch_repairs import reshape
from sparcl_compile.passes.importing.batch_trace import Trace

AXIS = {
    "ArgMax": 0,
    "ArgMin": 0,
    "Concat": 0,
    "Gather": 0,
    "GatherElements": 0,
    "Hardmax": -1,
    "LayerNormalization": -1,
    "LogSoftmax": -1,
    "Softmax": -1,
    "Split": 0,
    "TopK": -1,
}
"""Operators with an attribute ``axis``, and what it is when it is left out."""
AXES = {"Slice": 3, "CumSum": 1}
"""Operators with an input of axes, and its number."""
SAMPLES = {
    *("AveragePool", "BatchNormalization", "Conv", "Gemm", "GlobalAveragePool", "GlobalMaxPool"),
    *("InstanceNormalization", "LRN", "MaxPool"),
}
"""Operators whose first axis counts samples."""
BROADCASTING = {"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Where"}
"""Operators whose operands get each other's axes."""
ENDS = {"Reshape", "Unsqueeze", "Squeeze", "Flatten", "Shape", "Size"}
"""Operators with a repair of their own, or whose results have no batch."""


def shift(t: Trace, node: ir.Node) -> None:
    """Let a node leave the hidden batch of its first operand alone; its results have one, too."""
    if not any(value in t.hidden for value in node.inputs):
        return
    if node.op_type in BROADCASTING:
        if any(value not in t.hidden and t.worlds.batch_axes(value) for value in node.inputs):
            return  # the other operand has the batch in front, and so has the result
        _broadcast(t, node)
    first = next(value for value in node.inputs if value is not None)
    for fits, change in SHIFTS:
        if first in t.hidden and fits(node):
            change(t, node)
    if node.op_type not in ENDS:
        t.hidden.update(node.outputs)


def _shift_axis(t: Trace, node: ir.Node) -> None:
    axis = int_attribute(node, "axis", AXIS[node.op_type])
    if axis >= 0:
        node.attributes["axis"] = ir.AttrInt64("axis", axis + 1)
        t.changed = True


def _shift_axes(t: Trace, node: ir.Node) -> None:
    place = AXES.get(node.op_type, 1)
    given = t.worlds.constant(node.inputs[place]) if len(node.inputs) > place else None
    if given is None:
        count = t.small(node.inputs[1])[0] if node.op_type == "Slice" else len(t.stated(node.inputs[0]))
        given = np.arange(count, dtype=np.int64)
    node.resize_inputs(max(place + 1, len(node.inputs)))
    axes = [int(axis) + int(axis >= 0) for axis in given.reshape(-1)]
    node.replace_input_with(place, t.at(node).ints("axes", axes))


def _shift_perm(t: Trace, node: ir.Node) -> None:
    perm = ints_attribute(node, "perm", list(range(len(t.stated(node.inputs[0]))))[::-1])
    node.attributes["perm"] = ir.AttrInt64s("perm", [0, *(axis + 1 for axis in perm)])
    t.changed = True


def _shift_shape(t: Trace, node: ir.Node) -> None:
    for name, default in (("start", 0), ("end", -1)):
        given = int_attribute(node, name, default)
        if given >= 0:
            node.attributes[name] = ir.AttrInt64(name, given + 1)
    t.changed = True


def _samples(t: Trace, node: ir.Node) -> None:
    """An operator on samples, which the first stated axis counts here, gets those of all rows."""
    rows, *rest = t.stated(node.inputs[0])
    if not rest:
        return
    insert, others = t.at(node), node.inputs[1:]
    joined = insert.op("Reshape", node.inputs[0], insert.ints("joined", [-1, *rest]))
    made = insert.op(node.op_type, joined, *others, **kept_attributes(node))
    t.visited(joined, made)
    t.pass_on(node, t.visited(insert.op("Reshape", made, insert.ints("apart", [-1, rows, *t.small(made)[1:]]))))


def _flatten(t: Trace, node: ir.Node) -> None:
    shape = t.stated(node.inputs[0])
    first = int_attribute(node, "axis", 1) % (len(shape) or 1)
    outer, inner = int(np.prod(shape[:first])), int(np.prod(shape[first:]))
    reshape(t, node, [-1, inner] if outer == 1 else [-1, outer, inner])
    if outer != 1:
        t.hidden.add(node.outputs[0])


def _pad(t: Trace, node: ir.Node) -> None:
    pads = t.worlds.constant(node.inputs[1])
    if pads is not None and len(node.inputs) < 4:
        before, after = np.split(pads, 2)
        node.replace_input_with(1, t.at(node).ints("pads", [0, *map(int, before), 0, *map(int, after)]))


def _tile(t: Trace, node: ir.Node) -> None:
    repeats = t.worlds.constant(node.inputs[1])
    if repeats is not None:
        node.replace_input_with(1, t.at(node).ints("repeats", [1, *map(int, repeats)]))


def _expand(t: Trace, node: ir.Node) -> None:
    target = t.worlds.constant(node.inputs[1])
    if target is not None:
        node.replace_input_with(0, _of_rank(t, node, node.inputs[0], max(len(target), len(t.stated(node.inputs[0])))))
        node.replace_input_with(1, t.at(node).ints("shape", [1, *map(int, target)]))


def _broadcast(t: Trace, node: ir.Node) -> None:
    """An operand of fewer axes than the others gets them between the batch and its own."""
    rank = max(len(t.stated(value)) for value in node.inputs)
    for index, value in enumerate(node.inputs):
        if value in t.hidden and len(t.stated(value)) < rank:
            node.replace_input_with(index, _of_rank(t, node, value, rank))


def _of_rank(t: Trace, node: ir.Node, value: ir.Value | None, rank: int) -> ir.Value | None:
    shape = t.stated(value)
    if len(shape) == rank:
        return value
    insert = t.at(node)
    wider = insert.op("Reshape", value, insert.ints("axes", [-1, *[1] * (rank - len(shape)), *shape]))
    t.hidden.add(wider)
    return t.visited(wider)


SHIFTS: tuple[tuple[Callable[[ir.Node], bool], Callable[[Trace, ir.Node], None]], ...] = (
    (lambda node: node.op_type in AXIS, _shift_axis),
    (lambda node: node.op_type in AXES or node.op_type.startswith("Reduce"), _shift_axes),
    (lambda node: node.op_type == "Transpose", _shift_perm),
    (lambda node: node.op_type in SAMPLES and not int_attribute(node, "transA", 0), _samples),
    (lambda node: node.op_type == "Flatten", _flatten),
    (lambda node: node.op_type == "Pad", _pad),
    (lambda node: node.op_type == "Tile", _tile),
    (lambda node: node.op_type == "Expand", _expand),
    (lambda node: node.op_type == "Shape", _shift_shape),
)
