"""The multiply-accumulates of one node, by operator."""

import math
from collections.abc import Callable, Mapping

import onnx_ir as ir

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.core.layers import WEIGHT_SLOTS
from sparcl_compile.passes.core.operators import SPARSE_CONV, SPARSE_INPUT_GRADIENT, SPARSE_WEIGHT_GRADIENT

Parts = Mapping[int, int]
"""The multiply-accumulates of a node by the number of the input that holds their weight."""


def label(node: ir.Node) -> str:
    """The name of a node in a message: its own, or its first output's."""
    return node.name or next((str(out.name) for out in node.outputs if out.name), node.op_type)


ShapeOf = Callable[[ir.Value], ir.Shape | None]
"""The shape of a value for one sample, or None where it is unknown."""


class Sized:
    """A node with the shapes of its inputs and outputs for one sample."""

    def __init__(self, node: ir.Node, shape_of: ShapeOf) -> None:
        """The shapes are those that ``shape_of`` knows."""
        self.node, self._shape_of = node, shape_of

    def input(self, index: int) -> list[int]:
        """The dimensions of an input; raises ModelError where they are unknown."""
        return self._dims(self.node.inputs[index])

    def output(self) -> list[int]:
        """The dimensions of the first output that is there; raises ModelError where they are unknown."""
        return self._dims(next((out for out in self.node.outputs if out.name), self.node.outputs[0]))

    def is_known(self, index: int) -> bool:
        """Whether the dimensions of an input are known."""
        value = self.node.inputs[index]
        shape = None if value is None else self._shape_of(value)
        return shape is not None and shape.is_static()

    def flag(self, name: str) -> bool:
        """A boolean attribute; False where it is missing."""
        attribute = self.node.attributes.get(name)
        return attribute is not None and bool(attribute.as_int())

    def _dims(self, value: ir.Value | None) -> list[int]:
        shape = None if value is None else self._shape_of(value)
        if shape is None or not shape.is_static():
            name = value.name if value is not None else "a missing input"
            raise ModelError(
                f"node {label(self.node)} ({self.node.op_type}): the shape of {name} is unknown, so its cost cannot be "
                "counted; give the model's input a fixed shape (all but the batch) and export it again"
            )
        return [int(length) for length in shape]  # type: ignore[arg-type]


def _conv(node: Sized) -> int:
    return math.prod(node.output()) * math.prod(node.input(1)[1:])


def _conv_transpose(node: Sized) -> int:
    return math.prod(node.input(0)) * math.prod(node.input(1)[1:])


def _matmul(node: Sized) -> int:
    # The weight's shape always stands in the file, the activation's may hide behind a Reshape.
    if node.is_known(1) and len(node.input(1)) > 1:
        inner = node.input(1)[-1 if node.flag("transB") else -2]
    else:
        inner = node.input(0)[-2 if node.flag("transA") else -1]
    return math.prod(node.output()) * inner


def _conv_grad(node: Sized) -> int:
    one = math.prod(node.input(0)) * math.prod(node.input(2)[1:])
    return one * sum(1 for out in node.node.outputs[:2] if out.name)


def _sparse(values: int, outputs: int | None = None) -> Callable[[Sized], int]:
    """The rule of a sparse convolution: each place meets every pixel of the output.

    Args:
        values: number of the input with the places.
        outputs: number of the input with the output's gradient; None where the node makes the output.
    """

    def macs(node: Sized) -> int:
        plane = node.output() if outputs is None else node.input(outputs)
        return node.input(values)[0] * math.prod(plane[1:])

    return macs


RULES: Mapping[str, Callable[[Sized], int]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _matmul,
    "MatMul": _matmul,
    "FusedMatMul": _matmul,
    "ConvGrad": _conv_grad,
    SPARSE_CONV: _sparse(values=1),
    SPARSE_INPUT_GRADIENT: _sparse(values=1, outputs=0),
    SPARSE_WEIGHT_GRADIENT: _sparse(values=2, outputs=1),
}


def recurrent(node: Sized) -> Parts:
    """Each place of both weights, that of x and that of the state, multiplies at every step."""
    steps = math.prod(node.input(0)[:2])
    return {slot: math.prod(node.input(slot)) * steps for slot in WEIGHT_SLOTS[node.node.op_type]}


# These multiply too, and a silent 0 would be a lie.
NO_RULE = {
    *("Attention", "ConvInteger", "DeformConv", "DFT", "Einsum", "MatMulInteger"),
    *("QLinearConv", "QLinearMatMul", "STFT"),
}
