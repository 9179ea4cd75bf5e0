"""Values of a graph: types, constants, feeds, lookups."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

FLOAT = ir.TensorType(ir.DataType.FLOAT)
INT64 = ir.TensorType(ir.DataType.INT64)
BOOL = ir.TensorType(ir.DataType.BOOL)


def dims(value: ir.Value) -> list[int]:
    """The static shape of a value; raises ValueError when a dimension is symbolic or unknown."""
    if value.shape is None or not all(isinstance(d, int) for d in value.shape):
        raise ValueError(f"value {value.name} has no static shape: {value.shape}")
    return [int(d) for d in value.shape]  # type: ignore[arg-type]


def constant(graph: ir.Graph, name: str, data: np.ndarray) -> ir.Value:
    """Register a constant (an initializer without a role), or return the one that has this name."""
    if name in graph.initializers:
        return graph.initializers[name]
    tensor = ir.tensor(data, name=name)
    value = ir.Value(name=name, shape=ir.Shape(data.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


class Feeds:
    """The inputs of a graph by name, for a caller that asks for one a layer; nothing else may add inputs meanwhile."""

    def __init__(self, graph: ir.Graph) -> None:
        """The inputs that are there."""
        self._graph = graph
        self._by_name = {str(value.name): value for value in graph.inputs}

    def find(self, name: str) -> ir.Value | None:
        """The input of this name, or None."""
        return self._by_name.get(name)

    def __call__(self, name: str, shape: Sequence[int | str], dtype: ir.TensorType = FLOAT) -> ir.Value:
        """Add an input, or return the one that has this name."""
        if name not in self._by_name:
            self._by_name[name] = ir.Value(name=name, shape=ir.Shape(shape), type=dtype)
            self._graph.inputs.append(self._by_name[name])
        return self._by_name[name]


def feed(graph: ir.Graph, name: str, shape: Sequence[int | str], dtype: ir.TensorType = FLOAT) -> ir.Value:
    """Add one input to a graph, or return the one that has this name."""
    return Feeds(graph)(name, shape, dtype)


def value_named(graph: ir.Graph, name: str) -> ir.Value:
    """The input, initializer or node output of this name; raises KeyError when there is none."""
    outputs = (out for node in graph for out in node.outputs)
    for value in (*graph.inputs, *graph.initializers.values(), *outputs):
        if value.name == name:
            return value
    raise KeyError(f"the graph holds no value named {name}")


def data_of(value: ir.Value) -> np.ndarray:
    """The data of an initializer."""
    if value.const_value is None:
        raise ValueError(f"initializer {value.name} holds no data")
    return np.asarray(value.const_value.numpy())


def all_values(graph: ir.Graph) -> list[ir.Value]:
    """Inputs, initializers and results."""
    made = [value for node in graph for value in node.outputs]
    return [*graph.inputs, *graph.initializers.values(), *made]
