"""Weights that a file stores sparse become dense ones, which is all that onnx-ir and the training runtime read."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from sparcl_compile.interface.errors import ModelError

MOST_BYTES = 1 << 31
"""No file may hold a tensor of this size; a sparse one states such a shape in a few bytes."""
FAILURES = (ValueError, TypeError, IndexError, KeyError, OverflowError, RuntimeError, AttributeError)
"""Exceptions of onnx-ir and numpy for a tensor whose parts contradict each other."""


def make_dense(graph: onnx.GraphProto, path: Path) -> None:
    """Turn sparse initializers and sparse Constant nodes into dense ones, those of branches included.

    Raises:
        ModelError: a sparse tensor contradicts itself or is too large; the file and the tensor are named.
    """
    graph.initializer.extend(_dense(tensor, tensor.values.name, path) for tensor in graph.sparse_initializer)
    del graph.sparse_initializer[:]
    for node in graph.node:
        for attribute in (one for one in node.attribute if one.type == onnx.AttributeProto.SPARSE_TENSOR):
            name = node.output[0] if node.output else node.name
            attribute.t.CopyFrom(_dense(attribute.sparse_tensor, name, path))
            attribute.ClearField("sparse_tensor")
            attribute.type, attribute.name = onnx.AttributeProto.TENSOR, "value"
        for branch in _branches(node):
            make_dense(branch, path)


def _branches(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g


def _dense(tensor: onnx.SparseTensorProto, name: str, path: Path) -> onnx.TensorProto:
    shape = tuple(tensor.dims)
    try:
        values = ir.serde.deserialize_tensor(tensor.values).numpy()
        places = ir.serde.deserialize_tensor(tensor.indices).numpy().astype(np.int64)
        _check_size(shape, values.itemsize)
        dense = np.zeros(shape, values.dtype)
        dense.reshape(-1)[_flat(places, shape)] = values
    except FAILURES as error:
        problem = f"the sparse tensor {name} contradicts itself ({str(error).splitlines()[0]})"
        raise ModelError(f"{path}: {problem}; export the model again") from error
    return ir.serde.serialize_tensor(ir.tensor(dense, name=name))


def _check_size(shape: tuple[int, ...], itemsize: int) -> None:
    if min(shape, default=1) < 0 or math.prod(shape) * itemsize >= MOST_BYTES:
        raise ValueError(f"it has shape {list(shape)}")


def _flat(places: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The places as numbers of elements: they are given so, or as one row of indices each."""
    if places.ndim > 1:
        return np.asarray(np.ravel_multi_index(tuple(places.T), shape))
    if np.any(places < 0):
        raise ValueError("an index is negative")
    return places
