"""Meaning of the axes of a layer's weight."""

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import int_attribute
from sparcl_compile.passes.core.layers import RECURRENT

OUTPUT, INPUT, KERNEL, BATCH = "o", "i", "k", "b"
TRANSPOSED = ("transA", "transB")


def axes_of(node: ir.Node, weight: ir.Value) -> str:
    """One letter an axis: ``o`` output, ``i`` input, ``k`` a position in the kernel, ``b`` one matrix of several.

    For example ``oikk`` for a Conv's weight, ``oi`` for a Gemm's with transB = 1, ``io`` for a MatMul's on the right,
    ``boi`` for both of a recurrent layer's, one matrix a direction.

    Args:
        node: a Conv, ConvTranspose, Gemm, MatMul or recurrent layer.
        weight: its weight, of two axes or more.
    """
    more = len(weight.shape or ()) - 2
    if node.op_type in RECURRENT:
        return BATCH + OUTPUT + INPUT
    if node.op_type == "Conv":
        return OUTPUT + INPUT + KERNEL * more
    if node.op_type == "ConvTranspose":
        return INPUT + OUTPUT + KERNEL * more
    right = node.inputs[1] is weight
    transposed = node.op_type == "Gemm" and int_attribute(node, TRANSPOSED[right], 0) == 1
    matrix = INPUT + OUTPUT if right != transposed else OUTPUT + INPUT
    return BATCH * more + matrix


def by_output(array: np.ndarray, axis: int) -> np.ndarray:
    """An array of a weight's shape as [output channels, elements of a channel]; ``axis`` is that of the outputs."""
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
