"""Writes one node again in the batch-last form."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import Attributes
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.values import constant
from sparcl_compile.passes.lowering.batch_last.forms import (
    BATCH_FIRST,
    BATCH_LAST,
    Length,
    batch_last,
    inside_form,
    lengths_of,
)


class Mover:
    """Writes a node again in the batch-last form: its operands, the node, and what the other nodes read of it."""

    def __init__(self, insert: Inserter) -> None:
        """Replace the node at the inserter's place; the inserters of a graph share the names in use."""
        self.insert, self.node = insert, insert.place

    def inside(self, slot: int) -> ir.Value:
        """The batch-last form of an input of the node."""
        return self._inside(self._input(slot))

    def operand(self, slot: int) -> ir.Value | None:
        """The input of an elementwise node in the batch-last form; a parameter is reshaped to broadcast there."""
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
        return self.insert.op("Reshape", value, target, name=f"{value.name}.{part}", shape=shape, like=value)

    def ints(self, values: Sequence[int]) -> ir.Value:
        """A constant int64 vector; equal ones are shared."""
        name = "_".join(["layout.ints", *map(str, values)])
        return constant(self.insert.graph, name, np.array(values, np.int64))

    def again(self, inputs: Sequence[ir.Value | None], attributes: Attributes) -> None:
        """Replace the node by the same operator with other inputs and attributes."""
        self.replace(self.insert.node(self.node.op_type, *inputs, name=str(self.node.name), **attributes).outputs)

    def replace(self, outputs: Sequence[ir.Value]) -> None:
        """Replace the node: its first output by a batch-last value, the others by values as they are."""
        old = self.node.outputs[0]
        inside = outputs[0]
        inside.name = self.insert.fresh(f"{old.name}.batch_last")
        inside.shape, inside.type = ir.Shape(batch_last(old) or ()), old.type
        self.insert.replace(self._outside(inside, old), *outputs[1:])

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
            name = f"{value.name}.plane"
            plane = self.insert.op("Unsqueeze", value, self.ints([2, 3]), name=name, shape=first, like=value)
        name = f"{value.name}.batch_last"
        return self.insert.op("Transpose", plane, name=name, shape=shape, like=value, perm=BATCH_LAST)

    def _outside(self, inside: ir.Value, old: ir.Value) -> ir.Value:
        name, shape = f"{old.name}.batch_first", [*lengths_of(old), 1, 1][:4]
        plane = self.insert.op("Transpose", inside, name=name, shape=shape, like=old, perm=BATCH_FIRST)
        if len(lengths_of(old)) == 4:
            return plane
        return self.insert.op("Squeeze", plane, self.ints([2, 3]), name=f"{old.name}.vector", like=old)
