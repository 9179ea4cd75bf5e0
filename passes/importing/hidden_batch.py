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
ENDS = {"Reshape", "Unsqueeze", "Squeeze", "Shape", "Size"}
"""Operators with a repair of their own, or whose results have no batch."""


def shift(t: Trace, node: ir.Node) -> None:
    """Let a node leave the hidden batch of its first operand alone; its results have one, too."""
    if not any(value in t.hidden for value in node.inputs):
        return
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


def _matrix(t: Trace, node: ir.Node) -> None:
    """A Gemm of hidden rows takes all of them as one matrix."""
    if len(t.stated(node.inputs[0])) != 2:
        return
    rows, width = t.stated(node.inputs[0])
    insert, weights = t.at(node), node.inputs[1:]
    flat = insert.op("Reshape", node.inputs[0], insert.ints("matrix", [-1, width]))
    product = insert.op("Gemm", flat, *weights, **kept_attributes(node))
    t.visited(flat, product)
    back = insert.op("Reshape", product, insert.ints("rows", [-1, rows, t.small(product)[1]]))
    t.pass_on(node, t.visited(back))


SHIFTS: tuple[tuple[Callable[[ir.Node], bool], Callable[[Trace, ir.Node], None]], ...] = (
    (lambda node: node.op_type in AXIS, _shift_axis),
    (lambda node: node.op_type in AXES or node.op_type.startswith("Reduce"), _shift_axes),
    (lambda node: node.op_type == "Transpose", _shift_perm),
    (lambda node: node.op_type == "Gemm" and not int_attribute(node, "transA", 0), _matrix),
    (lambda node: node.op_type == "Shape", _shift_shape),
)
