"""The batch becomes symbolic, and everything that depends on no input becomes an initializer."""

import math

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import Names, adopt, int_attribute, is_float_constant, replace_uses
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.core.worlds import RATIO, Worlds
from sparcl_compile.passes.importing import branches
from sparcl_compile.passes.importing.naming import ORIGIN

Carrier = tuple[int, int]
"""The factors (outer, inner) of a dimension of length outer * batch * inner."""


MADE = "sparcl.made"
"""Key in a value's ``meta``: folded from constants of the exporter, from no initializer with more than one float."""


def is_weight(value: ir.Value | None) -> bool:
    """Whether a value is a float initializer that the file stores or that was folded from one."""
    if value is None or value.const_value is None or not is_float_constant(value):
        return False
    return value.const_value.size > 1 and not value.meta.get(MADE, False)


class BatchTracer:
    """Walks a sorted graph once: repairs baked batch sizes, folds constants, writes shapes.

    1. A node whose result is the same in both worlds is replaced by an initializer under its output's name. That folds
       Constant, ConstantOfShape, Identity of a weight (so every reader has its own copy) and reshaped weights.
    2. A Reshape whose target holds the batch, as a number or computed from Shape, gets a constant target with -1 there.
    3. A Concat of batched values with an unbatched one (a class token) expands that one to the batch.
    4. An Expand of a batched value gets 1 in the place of the batch.
    5. A Squeeze without axes gets those of length 1 but the batch, which it would take away for a single row.
    6. An If becomes the branch that it takes.
    """

    def __init__(self, graph: ir.Graph, batch: int) -> None:
        """Trace ``graph``, exported at this batch size."""
        self.graph = graph
        self.names = Names(graph)
        self.worlds = Worlds.of(graph, batch)
        self.batch = batch
        self.carriers: dict[ir.Value, Carrier] = {value: (1, 1) for value in graph.inputs}
        self.trained: set[ir.Value] = set()
        self.changed = False

    def trace(self) -> Worlds:
        """Do it; raises ModelError when a node fits no other batch size."""
        for node in list(self.graph):
            self._follow(node)
        return self.worlds

    def _follow(self, node: ir.Node) -> None:
        if node.op_type == "If":
            self.changed = True
            for inner in branches.take(self.graph, node, self.worlds, self.names):
                self._follow(inner)
            return
        self._repair(node)
        self.worlds.visit(node)
        self._carry(node)
        self._fold(node)

    def _at(self, node: ir.Node) -> Inserter:
        return Inserter(ORIGIN, self.graph, self.names).before(node)

    def _repair(self, node: ir.Node) -> None:
        repair = {
            "Reshape": self._repair_reshape,
            "Concat": self._repair_concat,
            "Expand": self._repair_expand,
            "Squeeze": self._repair_squeeze,
        }
        if node.op_type in repair:
            repair[node.op_type](node)

    def _carry(self, node: ir.Node) -> None:
        """Let outputs inherit how the batch sits in a dimension of unchanged length."""
        for output in node.outputs:
            axes = self.worlds.batch_axes(output)
            if len(axes) != 1 or output in self.carriers:
                continue
            self.carriers[output] = self._inherited(node, output, axes[0])

    def _inherited(self, node: ir.Node, output: ir.Value, axis: int) -> Carrier:
        length = self._small(output)[axis]
        for value in node.inputs:
            axes = self.worlds.batch_axes(value)
            if value not in self.carriers or len(axes) != 1:
                continue
            before = self._small(value)
            if before[axes[0]] == length:
                return self.carriers[value]
            place = batch_place(before, axes[0], self.carriers[value], self._small(output), self.batch)
            if node.op_type == "Flatten" and place is not None:
                return place[1]
        return (1, max(1, length // self.batch))

    def _small(self, value: ir.Value | None) -> tuple[int, ...]:
        return self.worlds.small.shape(value) or ()

    def _fold(self, node: ir.Node) -> None:
        arrays = [self.worlds.constant(output) for output in node.outputs if output.name]
        if not arrays or any(array is None for array in arrays):
            return
        if any(value in self.trained or role_of(value) for value in node.inputs if value is not None):
            self.trained.update(node.outputs)  # a folded parameter would stop learning
            return
        made = not any(is_weight(value) for value in node.inputs)
        self.changed = True
        for output, array in zip([o for o in node.outputs if o.name], arrays, strict=True):
            self._become_initializer(output, np.asarray(array)).meta[MADE] = made
        self.graph.remove(node, safe=True)

    def _become_initializer(self, output: ir.Value, array: np.ndarray) -> ir.Value:
        name = str(output.name)
        output.name = f"{name}.folded"
        value = adopt(self.graph, ir.Value(), name, array)
        replace_uses(self.graph, output, value)
        return value

    def _repair_reshape(self, node: ir.Node) -> None:
        source, target = node.inputs[0], node.inputs[1]
        axes = self.worlds.batch_axes(source)
        wanted = self.worlds.small.data(target)
        if len(axes) != 1 or wanted is None or wanted.ndim != 1 or source is None:
            return
        shape = resolved(self._small(source), wanted, allows_zero(node))
        place = batch_place(self._small(source), axes[0], self.carriers[source], shape, self.batch)
        if place is None:
            return
        axis, carrier = place
        self.carriers[node.outputs[0]] = carrier
        new = [-1 if i == axis else length for i, length in enumerate(shape)]
        constant_target = self.worlds.constant(target)
        if constant_target is not None and self._already(source, axis, shape, constant_target, node):
            return
        node.replace_input_with(1, self._at(node).ints("shape", new))
        node.attributes.pop("allowzero", None)
        self.changed = True

    def _already(self, source: ir.Value, axis: int, shape: tuple[int, ...], target: np.ndarray, node: ir.Node) -> bool:
        """Whether a constant target does the right thing at the larger batch as it stands."""
        larger = self.worlds.large.shape(source) or ()
        right = tuple(length * RATIO if i == axis else length for i, length in enumerate(shape))
        return resolved(larger, target, allows_zero(node)) == right

    def _repair_concat(self, node: ir.Node) -> None:
        batched = [value for value in node.inputs if len(self.worlds.batch_axes(value)) == 1]
        if not batched:
            return
        like = batched[0]
        (axis,) = self.worlds.batch_axes(like)
        rank = len(self._small(like))
        if node.attributes["axis"].as_int() % rank == axis:
            return
        for index, value in enumerate(node.inputs):
            if value is not None and self._small(value) and not self.worlds.batch_axes(value):
                node.replace_input_with(index, self._expanded(node, value, like, axis))

    def _expanded(self, node: ir.Node, value: ir.Value, like: ir.Value | None, axis: int) -> ir.Value:
        """``value``, equal for all rows, repeated along the batch axis of ``like``."""
        insert = self._at(node)
        data = self.worlds.constant(value)
        if data is not None and self.batch > 1:
            value = insert.const("row", np.take(data, [0], axis=axis), data.dtype.type)
        after = len(self._small(value)) - axis - 1
        length = insert.op("Shape", like, start=axis, end=axis + 1)
        parts = [insert.ints("before", [1] * axis), length, insert.ints("after", [1] * after)]
        target = insert.op("Concat", *parts, axis=0)
        out = insert.op("Expand", value, target)
        for made in (length, target, out):
            producer = made.producer()
            if producer is not None:
                self.worlds.visit(producer)
        self.changed = True
        return out

    def _repair_expand(self, node: ir.Node) -> None:
        axes = self.worlds.batch_axes(node.inputs[0])
        target = self.worlds.constant(node.inputs[1])
        if len(axes) != 1 or target is None or target.ndim != 1:
            return
        axis = axes[0] + len(target) - len(self._small(node.inputs[0]))
        if axis < 0 or target[axis] == 1:
            return
        node.replace_input_with(1, self._at(node).ints("shape", [*target[:axis], 1, *target[axis + 1 :]]))
        self.changed = True

    def _repair_squeeze(self, node: ir.Node) -> None:
        shape = self.worlds.large.shape(node.inputs[0])
        if shape is None or not squeezes_all(node):
            return
        node.resize_inputs(2)
        axes = [axis for axis, length in enumerate(shape) if length == 1]
        node.replace_input_with(1, self._at(node).ints("axes", axes))
        self.changed = True


def squeezes_all(node: ir.Node) -> bool:
    """Whether a node is a Squeeze of every axis of length 1."""
    given = [value for value in node.inputs[1:] if value is not None]
    return node.op_type == "Squeeze" and not given and "axes" not in node.attributes


def allows_zero(node: ir.Node) -> bool:
    """Whether a Reshape takes 0 for a length rather than for "as before"."""
    return int_attribute(node, "allowzero", 0) == 1


def resolved(shape: tuple[int, ...], target: np.ndarray, allow_zero: bool) -> tuple[int, ...]:
    """The shape that a Reshape of ``shape`` to ``target`` has."""
    lengths = [
        shape[i] if length == 0 and not allow_zero and i < len(shape) else int(length)
        for i, length in enumerate(target)
    ]
    rest = math.prod(length for length in lengths if length != -1)
    free = math.prod(shape) // rest if rest else 0
    return tuple(free if length == -1 else length for length in lengths)


def batch_place(
    before: tuple[int, ...], axis: int, carrier: Carrier, after: tuple[int, ...], batch: int
) -> tuple[int, Carrier] | None:
    """The axis of the batch after a Reshape, with its factors there; None when they are ambiguous.

    A Reshape keeps the row-major order, so the distance between two rows of the batch stays: the batch's new axis is
    one whose stride divides that distance. With a batch of 1 several can: the last axis, which holds features, comes
    last; then an axis that begins with the batch (batch * heads) goes before one that ends with it; the nearest wins.
    """
    distance = carrier[1] * math.prod(before[axis + 1 :])
    found = []
    for place, length in enumerate(after):
        stride = math.prod(after[place + 1 :])
        inner = distance // stride if stride else 0
        if inner == 0 or distance % stride or length % (inner * batch):
            continue
        outer = length // (inner * batch)
        last = place == len(after) - 1 > 0
        found.append(((last, outer, inner, abs(place - axis)), place, (outer, inner)))
    if not found:
        return None
    _, place, new = min(found)
    return place, new
