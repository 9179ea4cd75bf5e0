"""Graphs that compute with floats of another width than 32 bits: they become float32."""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import set_array
from sparcl_compile.passes.core.values import FLOAT, all_values

OTHERS = {ir.DataType.DOUBLE: "float64", ir.DataType.FLOAT16: "float16", ir.DataType.BFLOAT16: "bfloat16"}
"""Float types that become float32, with their names for a user."""
TYPE_ATTRIBUTES = ("to", "dtype")


def to_float32(model: ir.Model) -> set[str]:
    """Let a graph and its functions compute in float32; returns the names of the types that it computed in before."""
    found: set[str] = set()
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        found.update(_convert(graph))
    return found


def has_others(model: ir.Model) -> bool:
    """Whether a value or a weight of the graph is a float of another width."""
    return any(value.dtype in OTHERS for value in all_values(model.graph)) or any(
        (one.type is ir.AttributeType.TENSOR and one.value.dtype in OTHERS) or _names_other(name, one)
        for node in model.graph
        for name, one in node.attributes.items()
    )


def _names_other(name: str, one: ir.Attr) -> bool:
    """Whether an attribute says that a node's result is a float of another width."""
    return one.type is ir.AttributeType.INT and name in TYPE_ATTRIBUTES and ir.DataType(one.value) in OTHERS


def _convert(graph: ir.Graph) -> Iterator[str]:
    for value in all_values(graph):
        if value.dtype not in OTHERS:
            continue
        yield OTHERS[value.dtype]
        if value.const_value is not None and value.is_initializer():
            set_array(value, _array(value.const_value))
        else:
            value.type = FLOAT
    for node in graph:
        yield from _convert_attributes(node)


def _convert_attributes(node: ir.Node) -> Iterator[str]:
    for name, one in list(node.attributes.items()):
        if one.type is ir.AttributeType.TENSOR and one.value.dtype in OTHERS:
            yield OTHERS[one.value.dtype]
            node.attributes[name] = ir.AttrTensor(name, ir.tensor(_array(one.value), name=one.value.name))
        elif _names_other(name, one):
            yield OTHERS[ir.DataType(one.value)]
            node.attributes[name] = ir.AttrInt64(name, int(ir.DataType.FLOAT))


def _array(tensor: ir.TensorProtocol) -> np.ndarray:
    with np.errstate(over="ignore"):  # a bound of the whole range becomes infinite, and as a bound means the same
        return np.asarray(tensor.numpy()).astype(np.float32)
