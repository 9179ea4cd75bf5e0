"""Writes one node again in the batch-last form."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import Names, replace_uses
from sparcl_compile.passes.core.values import FLOAT, constant
from sparcl_compile.passes.lowering.batch_last.forms import (
    BATCH_FIRST,
    BATCH_LAST,
    Length,
    batch_last,
    inside_form,
    lengths_of,
)


class Mover:
    """Inserts nodes before the node that they replace, with types and shapes stated and their origin marked."""

    def __init__(self, made_by: Pass, graph: ir.Graph, node: ir.Node, names: Names) -> None:
        """Replace ``node`` of ``graph`` by nodes that ``made_by`` makes; the movers of a graph share its ``names``."""
        self.made_by, self.graph, self.node, self._names = made_by, graph, node, names

    def inside(self, slot: int) -> ir.Value:
        """The batch-last form of an input of the node."""
        return self._inside(self._input(slot))

    def operand(self, slot: int) -> ir.Value | None:
        """What an elementwise node reads inside: activations batch last, parameters reshaped to meet them."""
        value = self.node.inputs[slot]
        if value is None:
            return None
        if batch_last(value) is not None:
            return self._inside(value)
        lengths = lengths_of(value)
        if all(length == 1 for length in lengths):
            return value
        rank = len(lengths_of(self.node.outputs[0]))
        aligned = [*[1] * (rank - len(lengths)), *lengths][1:]
        return self.reshape(value, [*aligned, *[1] * (4 - len(aligned))], "column")

    def reshape(self, value: ir.Value, shape: Sequence[Length], part: str) -> ir.Value:
        """A Reshape; the symbolic length is what is left."""
        target = self.ints([length if isinstance(length, int) else -1 for length in shape])
        return self.op("Reshape", [value, target], f"{value.name}.{part}", shape, like=value)

    def ints(self, values: Sequence[int]) -> ir.Value:
        """A constant int64 vector; equal ones are shared."""
        name = "_".join(["layout.ints", *map(str, values)])
        return constant(self.graph, name, np.array(values, np.int64))

    def op(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        name: str,
        shape: Sequence[Length],
        like: ir.Value | None = None,
        **attributes: Sequence[int] | int,
    ) -> ir.Value:
        """Insert a standard node; its output gets a name near ``name``, and the type of ``like`` or float32."""
        node = self.made_by.node(op_type, list(inputs), attributes=attributes or None)
        self.insert(node)
        out = node.outputs[0]
        out.name = node.name = self._names.fresh(name)
        out.shape, out.type = ir.Shape(shape), FLOAT if like is None else like.type
        return out

    def insert(self, node: ir.Node) -> None:
        """Insert a node before the one that is replaced."""
        self.graph.insert_before(self.node, node)

    def again(self, inputs: Sequence[ir.Value | None], attributes: Mapping[str, ir.Attr]) -> None:
        """The same operator with other inputs and attributes replaces the node."""
        node = self.made_by.node(self.node.op_type, list(inputs), attributes=dict(attributes), name=self.node.name)
        self.insert(node)
        self.finish(node.outputs)

    def finish(self, outputs: Sequence[ir.Value]) -> None:
        """Replace the node: its first output by a batch-last value, the others by values as they are."""
        old = list(self.node.outputs)
        names = [str(value.name) for value in old]
        inside = outputs[0]
        inside.name = self._names.fresh(f"{names[0]}.batch_last")
        inside.shape, inside.type = ir.Shape(batch_last(old[0]) or ()), old[0].type
        new = [self._outside(inside, old[0]), *outputs[1 : len(old)]]
        for before, after in zip(old, new, strict=True):
            replace_uses(self.graph, before, after)
        self.graph.remove(self.node, safe=True)
        for after, name in zip(new, names, strict=True):
            after.name = name

    def _input(self, slot: int) -> ir.Value:
        value = self.node.inputs[slot]
        if value is None:
            raise ValueError(f"{self.node.op_type} {self.node.name} lacks input {slot}")
        return value

    def _inside(self, value: ir.Value) -> ir.Value:
        found = inside_form(value)
        if found is not None:
            return found
        shape = batch_last(value) or []
        plane = value
        if len(lengths_of(value)) == 2:
            first = [shape[-1], *shape[:-1]]
            plane = self.op("Unsqueeze", [value, self.ints([2, 3])], f"{value.name}.plane", first, like=value)
        return self.op("Transpose", [plane], f"{value.name}.batch_last", shape, like=value, perm=BATCH_LAST)

    def _outside(self, inside: ir.Value, old: ir.Value) -> ir.Value:
        name, shape = f"{old.name}.batch_first", lengths_of(old)
        plane = self.op("Transpose", [inside], name, [*shape, 1, 1][:4], like=old, perm=BATCH_FIRST)
        if len(shape) == 4:
            return plane
        return self.op("Squeeze", [plane, self.ints([2, 3])], f"{old.name}.vector", shape, like=old)
