"""Which readers of a weight have a form as a sparse convolution, and its attributes."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import mask_name
from sparcl_compile.passes.core.edit import Attributes, float_attribute, int_attribute, ints_attribute
from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.operators import MOST_KERNEL, MOST_STRIDE
from sparcl_compile.passes.core.values import data_of

PRODUCT_RANKS = (2, 3)
"""Axes of a product's input: features, or tokens of features."""


def is_transposed(reader: ir.Node) -> bool:
    """Whether the weight [I, O] of a node is stored as [O, I]."""
    return reader.op_type != "Conv" and int_attribute(reader, "transB", 0) == 0


def stored(weight: np.ndarray, transposed: bool) -> np.ndarray:
    """A weight or its mask as [O, C, kh, kw]."""
    rows = weight.T if transposed else weight
    return rows.reshape(*rows.shape, *[1] * (4 - rows.ndim))


def masked_product(graph: ir.Graph, weight: ir.Value) -> ir.Node | None:
    """The product of a weight with its mask, None where it has none."""
    mask = graph.initializers.get(mask_name(str(weight.name)))
    return None if mask is None else next(iter(mask.uses())).node


def kept_places(model: ir.Model) -> dict[str, int]:
    """By masked weight how many places its mask keeps, at least one."""
    names = [str(weight.name) for weight in masked_layers(model)]
    masks = {name: model.graph.initializers.get(mask_name(name)) for name in names}
    return {name: max(1, int(np.count_nonzero(data_of(mask)))) for name, mask in masks.items() if mask is not None}


def only_reader(masked: ir.Value) -> ir.Node | None:
    """The node that reads a masked weight, None when there are several."""
    readers = [usage.node for usage in masked.uses()]
    return readers[0] if len(readers) == 1 and not masked.is_graph_output() else None


def why_not(reader: ir.Node | None, masked: ir.Value) -> str:
    """Why a weight stays masked; empty when its reader has a sparse form."""
    if reader is None:
        return "several nodes read it"
    if reader.inputs[1] is not masked:
        return "the weight is the first operand"
    shapes = [_shape(value) for value in (reader.inputs[0], reader.outputs[0])]
    if any(shape is None or not all(isinstance(d, int) for d in shape[1:]) for shape in shapes):
        return "sizes beside the batch are not known"
    if reader.op_type not in OBSTACLES:
        return f"{reader.op_type} has no sparse form"
    return OBSTACLES[reader.op_type](reader, len(shapes[0] or ()))


def _conv(reader: ir.Node, rank: int) -> str:
    if rank != 4:
        return "a convolution that is not over planes"
    if max(ints_attribute(reader, "strides", (1, 1))) > MOST_STRIDE or max(_kernel(reader)) > MOST_KERNEL:
        return f"the sparse kernels reach to kernels of {MOST_KERNEL} and strides of {MOST_STRIDE}"
    return "a convolution with groups" if int_attribute(reader, "group", 1) != 1 else ""


def _kernel(reader: ir.Node) -> list[int]:
    return [d for d in (_shape(reader.inputs[1]) or [])[2:] if isinstance(d, int)]


def _gemm(reader: ir.Node, _: int) -> str:
    plain = float_attribute(reader, "alpha", 1.0) == float_attribute(reader, "beta", 1.0) == 1.0
    bias = reader.inputs[2] if len(reader.inputs) > 2 else None
    if not plain or int_attribute(reader, "transA", 0):
        return "a scaled or transposed Gemm"
    return "a bias that is no vector" if bias is not None and len(_shape(bias) or ()) != 1 else ""


def _matmul(_: ir.Node, rank: int) -> str:
    return "" if rank in PRODUCT_RANKS else "a product over planes"


OBSTACLES = {"Conv": _conv, "Gemm": _gemm, "MatMul": _matmul}
"""By operator what stands against a sparse form."""


def geometry(reader: ir.Node, shape: Sequence[int]) -> Attributes:
    """The attributes of the sparse convolution with a weight of this shape [O, C, kh, kw]."""
    return {
        "channels": shape[1],
        "kernel_shape": list(shape[2:]),
        "strides": ints_attribute(reader, "strides", (1, 1)),
        "pads": ints_attribute(reader, "pads", (0, 0, 0, 0)),
        "dilations": ints_attribute(reader, "dilations", (1, 1)),
    }


def _shape(value: ir.Value | None) -> list[int | ir.SymbolicDim] | None:
    return None if value is None or value.shape is None else list(value.shape)
