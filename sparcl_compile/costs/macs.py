"""The multiply-accumulates of one node, by operator."""

import math
from collections.abc import Callable, Mapping

import onnx_ir as ir

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.core.operators import SPARSE_CONV, SPARSE_INPUT_GRADIENT, SPARSE_WEIGHT_GRADIENT
from sparcl_compile.passes.core.values import dims


def label(node: ir.Node) -> str:
    """What to call a node in a message: its name, or its first output's."""
    return node.name or next((str(out.name) for out in node.outputs if out.name), node.op_type)


def _dims(node: ir.Node, value: ir.Value | None) -> list[int]:
    name = value.name if value is not None else "a missing input"
    if value is None or value.shape is None or not value.shape.is_static():
        raise ModelError(
            f"node {label(node)} ({node.op_type}): the shape of {name} is unknown, so its cost cannot be counted; "
            "give the model's input a fixed shape (all but the batch) and export it again"
        )
    return dims(value)


def _flag(node: ir.Node, name: str) -> bool:
    attribute = node.attributes.get(name)
    return attribute is not None and bool(attribute.as_int())


def _conv(node: ir.Node) -> int:
    return math.prod(_dims(node, node.outputs[0])) * math.prod(_dims(node, node.inputs[1])[1:])


def _conv_transpose(node: ir.Node) -> int:
    return math.prod(_dims(node, node.inputs[0])) * math.prod(_dims(node, node.inputs[1])[1:])


def _matmul(node: ir.Node) -> int:
    left, right = node.inputs[0], node.inputs[1]
    # The weight's shape always stands in the file, the activation's may hide behind a Reshape.
    if right is not None and right.shape is not None and len(right.shape) > 1 and right.shape.is_static():
        inner = _dims(node, right)[-1 if _flag(node, "transB") else -2]
    else:
        inner = _dims(node, left)[-2 if _flag(node, "transA") else -1]
    return math.prod(_dims(node, node.outputs[0])) * inner


def _conv_grad(node: ir.Node) -> int:
    one = math.prod(_dims(node, node.inputs[0])) * math.prod(_dims(node, node.inputs[2])[1:])
    return one * sum(1 for out in node.outputs[:2] if out.name)


def _sparse(values: int, outputs: int | None = None) -> Callable[[ir.Node], int]:
    """Of a sparse convolution: each place meets every pixel of the output. Where the two stand among the inputs."""

    def macs(node: ir.Node) -> int:
        plane = node.outputs[0] if outputs is None else node.inputs[outputs]
        return _dims(node, node.inputs[values])[0] * math.prod(_dims(node, plane)[1:])

    return macs


RULES: Mapping[str, Callable[[ir.Node], int]] = {
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

# These multiply too, and a silent 0 would be a lie.
NO_RULE = {
    *("Attention", "ConvInteger", "DeformConv", "DFT", "Einsum", "GRU", "LSTM", "MatMulInteger"),
    *("QLinearConv", "QLinearMatMul", "RNN", "STFT"),
}
