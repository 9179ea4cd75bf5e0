"""The chosen rows of a weight gradient that standard operators put together from products of matrices."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import array_of, int_attribute, ints_attribute, kept_attributes, reduction_axes
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.values import constant

FIRST = 0
"""The axis of the rows: the output channels of a convolution's weight."""


@dataclasses.dataclass
class RowProducts:
    """Writes operators a second time, for the chosen rows of their results alone.

    Rows are followed from a gradient back to an operand of its products, through what keeps them together: a change of
    the order of axes, a reshape of the others, a concatenation along another one, a sum over another one.

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
    written: dict[tuple[ir.Value, int], ir.Value] = dataclasses.field(default_factory=dict)

    def of(self, value: ir.Value, axis: int = FIRST) -> ir.Value:
        """The chosen rows of a value for which ``can_follow`` holds; what several operators read is written once.

        Args:
            value: of which the rows are asked for.
            axis: of the rows.
        """
        if (value, axis) not in self.written:
            self.written[value, axis] = self._write(value, axis)
        return self.written[value, axis]

    def _write(self, value: ir.Value, axis: int) -> ir.Value:
        node = value.producer()
        inner = None if node is None else sources(node, axis, self.whole)
        if node is None or inner is None:
            return self._gathered(value, axis)
        read = self._operand if node.op_type in PRODUCTS else self.of
        inputs = [read(one, inner[n]) if n in inner and one else one for n, one in enumerate(node.inputs)]
        if node.op_type == "Reshape":
            inputs[1] = self._shape(node, axis)
        out = self.insert.op(node.op_type, *inputs, name=f"{value.name}.rows", **kept_attributes(node))
        return self._shaped(out, value, axis)

    def _operand(self, operand: ir.Value, axis: int) -> ir.Value:
        """The rows of a product's operand: chosen before its axes are turned, where they are longer runs."""
        node = operand.producer()
        return self.of(operand, axis) if node is not None and node.op_type == "Transpose" else self._once(operand, axis)

    def _once(self, operand: ir.Value, axis: int) -> ir.Value:
        if (operand, axis) not in self.written:
            self.written[operand, axis] = self._gathered(operand, axis)
        return self.written[operand, axis]

    def _gathered(self, operand: ir.Value, axis: int) -> ir.Value:
        out = self.insert.op("Gather", operand, self.rows, name=f"{operand.name}.chosen_{axis}", axis=axis)
        return self._shaped(out, operand, axis)

    def _shape(self, node: ir.Node, axis: int) -> ir.Value:
        target = array_of(node.inputs[1])
        lengths = [] if target is None else [int(length) for length in target]
        lengths[axis] = self.kept
        return constant(self.insert.graph, f"{node.outputs[0].name}.row_shape", np.array(lengths, np.int64))

    def _shaped(self, out: ir.Value, whole: ir.Value, axis: int) -> ir.Value:
        out.type = whole.type
        if whole.shape is not None:
            lengths = list(whole.shape)
            out.shape = ir.Shape([*lengths[:axis], self.kept, *lengths[axis + 1 :]])
        return out


def can_follow(value: ir.Value | None, whole: int, axis: int = FIRST) -> bool:
    """Whether each row of a value is made from the same row of an operand of products.

    Args:
        value: of which the rows are asked for.
        whole: the number of its rows.
        axis: of the rows.
    """
    if value is None:
        return False
    node = value.producer()
    if node is None:
        return value.const_value is not None
    inner = sources(node, axis, whole)
    if inner is None:
        return False
    if node.op_type in PRODUCTS:
        return True
    return all(can_follow(node.inputs[number], whole, one) for number, one in inner.items())


PRODUCTS = ("Gemm", "MatMul")
Sources = Mapping[int, int]
"""By number of an input the axis of its rows."""


def sources(node: ir.Node, axis: int, whole: int) -> Sources | None:
    """The inputs that the rows of a node's output come from, and their axis there; None where they cannot be followed.

    Args:
        node: of one output.
        axis: of the rows in the output.
        whole: the number of all rows.
    """
    find = FINDERS.get(node.op_type)
    return None if find is None else find(node, axis, whole)


def _of_gemm(node: ir.Node, axis: int, whole: int) -> Sources | None:
    if any(value is not None for value in node.inputs[2:]):
        return None
    across = int_attribute(node, ("transA", "transB")[axis], 0)
    return _if_whole(node, axis, 1 - axis if across else axis, whole)


def _of_matmul(node: ir.Node, axis: int, whole: int) -> Sources | None:
    ranks = {None if value is None or value.shape is None else len(value.shape) for value in node.inputs}
    rank = ranks.pop()
    if ranks or rank is None or rank < 2 or axis < rank - 2:
        return None
    return _if_whole(node, axis - (rank - 2), axis, whole)


def _if_whole(node: ir.Node, number: int, axis: int, whole: int) -> Sources | None:
    """The operand's axis, where all rows are there."""
    return {number: axis} if _length(node.inputs[number], axis) == whole else None


def _of_transpose(node: ir.Node, axis: int, whole: int) -> Sources | None:
    order = ints_attribute(node, "perm", [])
    return {0: order[axis]} if order else None


def _of_reshape(node: ir.Node, axis: int, whole: int) -> Sources | None:
    """The first axis stays the first and the last one the last."""
    target, given = array_of(node.inputs[1]), node.inputs[0]
    if target is None or given is None or int(target[axis]) != whole:
        return None
    if axis == 0 and (given.shape is None or given.shape[0] == whole):
        return {0: 0}
    last = 0 if given.shape is None else len(given.shape) - 1
    return {0: last} if axis == len(target) - 1 and last and _length(given, last) == whole else None


def _of_concat(node: ir.Node, axis: int, whole: int) -> Sources | None:
    return None if int_attribute(node, "axis", 0) == axis else dict.fromkeys(range(len(node.inputs)), axis)


def _of_sum(node: ir.Node, axis: int, whole: int) -> Sources | None:
    axes, given = reduction_axes(node), node.inputs[0]
    if axes is None or given is None or given.shape is None or int_attribute(node, "keepdims", 1):
        return None
    return {0: [one for one in range(len(given.shape)) if one not in axes][axis]}


def _of_unsqueeze(node: ir.Node, axis: int, whole: int) -> Sources | None:
    axes = array_of(node.inputs[1])
    if axes is None or min(axes) < 0 or axis in axes:
        return None
    return {0: axis - sum(int(one) < axis for one in axes)}


def _length(value: ir.Value | None, axis: int) -> object:
    return None if value is None or value.shape is None else value.shape[axis]


FINDERS: Mapping[str, Callable[[ir.Node, int, int], Sources | None]] = {
    "Concat": _of_concat,
    "Gemm": _of_gemm,
    "MatMul": _of_matmul,
    "ReduceSum": _of_sum,
    "Reshape": _of_reshape,
    "Transpose": _of_transpose,
    "Unsqueeze": _of_unsqueeze,
}
"""By operator how its rows are followed."""
