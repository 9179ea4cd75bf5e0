"""The chosen rows of a weight gradient that standard operators put together from products of matrices."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import array_of, int_attribute, ints_attribute, kept_attributes
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.values import constant

FIRST = 0
"""The axis of the rows: the output channels of a convolution's weight."""


@dataclasses.dataclass
class RowProducts:
    """Writes operators a second time, for the chosen rows of their results alone.

    Rows are followed from a gradient back to the left operands of its products, through what leaves the first axis
    alone: a reshape of the others, a change of their order, a concatenation along another one.

    Attributes:
        insert: inserts behind the node that computes the whole gradient.
        rows: the chosen rows, int64 [K], ascending.
        whole: the number of all rows.
        kept: K.
    """

    insert: Inserter
    rows: ir.Value
    whole: int
    kept: int

    def of(self, value: ir.Value) -> ir.Value:
        """The chosen rows of a value for which ``can_follow`` holds."""
        node = _maker(value)
        inputs = WRITERS[node.op_type](self, node)
        out = self.insert.op(node.op_type, *inputs, name=f"{value.name}.rows", **kept_attributes(node))
        out.type = value.type
        if value.shape is not None and value.shape[FIRST] == self.whole:
            out.shape = ir.Shape([self.kept, *list(value.shape)[1:]])
        return out

    def _left(self, node: ir.Node) -> list[ir.Value | None]:
        """A product: the chosen rows of the left operand."""
        operand = node.inputs[0]
        name = f"{node.outputs[0].name}.row_operand"
        return [self.insert.op("Gather", operand, self.rows, name=name, axis=FIRST), *node.inputs[1:]]

    def _every(self, node: ir.Node) -> list[ir.Value | None]:
        return [self.of(value) for value in node.inputs if value is not None]

    def _first(self, node: ir.Node) -> list[ir.Value | None]:
        return [self.of(_given(node)), *node.inputs[1:]]

    def _reshaped(self, node: ir.Node) -> list[ir.Value | None]:
        target = array_of(node.inputs[1])
        lengths = [] if target is None else [int(length) for length in target]
        name = f"{node.outputs[0].name}.row_shape"
        shape = constant(self.insert.graph, name, np.array([self.kept, *lengths[1:]], np.int64))
        return [self.of(_given(node)), shape]


WRITERS: Mapping[str, Callable[[RowProducts, ir.Node], list[ir.Value | None]]] = {
    "Concat": RowProducts._every,
    "Gemm": RowProducts._left,
    "MatMul": RowProducts._left,
    "Reshape": RowProducts._reshaped,
    "Transpose": RowProducts._first,
    "Unsqueeze": RowProducts._first,
}
"""By operator the inputs of its second writing."""


def can_follow(value: ir.Value | None, whole: int) -> bool:
    """Whether each row of a value is made from the same row of the left operands of products.

    Args:
        value: of which the rows are asked for.
        whole: the number of its rows.
    """
    node = None if value is None else value.producer()
    check = None if node is None else CHECKS.get(node.op_type)
    return node is not None and check is not None and check(node, whole)


def _is_product(node: ir.Node, whole: int) -> bool:
    operand = node.inputs[0]
    matrix = operand is not None and operand.shape is not None and len(operand.shape) == 2
    addend = any(value is not None for value in node.inputs[2:])
    return matrix and not addend and not int_attribute(node, "transA", 0)


def _keeps_first(node: ir.Node, whole: int) -> bool:
    target = array_of(node.inputs[1])
    return target is not None and len(target) > 0 and target[0] == whole and can_follow(node.inputs[0], whole)


def _leaves_first(node: ir.Node, whole: int) -> bool:
    return ints_attribute(node, "perm", [1])[0] == FIRST and can_follow(node.inputs[0], whole)


def _joins_others(node: ir.Node, whole: int) -> bool:
    return int_attribute(node, "axis", 0) > FIRST and all(can_follow(value, whole) for value in node.inputs)


def _adds_others(node: ir.Node, whole: int) -> bool:
    axes = array_of(node.inputs[1])
    return axes is not None and min(axes) > FIRST and can_follow(node.inputs[0], whole)


CHECKS: Mapping[str, Callable[[ir.Node, int], bool]] = {
    "Concat": _joins_others,
    "Gemm": _is_product,
    "MatMul": _is_product,
    "Reshape": _keeps_first,
    "Transpose": _leaves_first,
    "Unsqueeze": _adds_others,
}
"""By operator whether its first axis is that of its inputs."""


def _maker(value: ir.Value) -> ir.Node:
    node = value.producer()
    if node is None:
        raise ValueError(f"{value.name} is no node's output")
    return node


def _given(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    if value is None:
        raise ValueError(f"{node.name} lacks its input")
    return value
