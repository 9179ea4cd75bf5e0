"""Small editing vocabulary: names, constants, attributes, replacements."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

Attributes = dict[str, Any]
"""Attributes of a node by name: Python values or onnx-ir's attributes."""


def taken_names(graph: ir.Graph) -> set[str]:
    """Every value name in use in the graph."""
    names = {value.name for value in (*graph.inputs, *graph.initializers.values())}
    names.update(value.name for node in graph for value in node.outputs)
    return {name for name in names if name}


class Names:
    """The value names in use in a graph; a name that was given once is not given again."""

    def __init__(self, graph: ir.Graph) -> None:
        """The names in use."""
        self._taken = taken_names(graph)

    def fresh(self, hint: str) -> str:
        """``hint``, or ``hint_1``, ``hint_2``, ... when it is taken."""
        name = hint
        if hint in self._taken:
            name = next(f"{hint}_{i}" for i in itertools.count(1) if f"{hint}_{i}" not in self._taken)
        self._taken.add(name)
        return name


def fresh_name(graph: ir.Graph, hint: str) -> str:
    """One name near ``hint`` that no value of the graph has."""
    return Names(graph).fresh(hint)


def new_constant(graph: ir.Graph, names: Names, hint: str, array: np.ndarray) -> ir.Value:
    """A new initializer holding ``array`` under a name near ``hint``."""
    return adopt(graph, ir.Value(), names.fresh(hint), array)


def adopt(graph: ir.Graph, value: ir.Value, name: str, array: np.ndarray) -> ir.Value:
    """Make a free value an initializer of the graph."""
    array = np.ascontiguousarray(array) if array.ndim else array
    value.name = name
    set_array(value, array)
    graph.register_initializer(value)
    return value


def set_array(value: ir.Value, array: np.ndarray) -> None:
    """Give an initializer new contents; shape and type follow."""
    tensor = ir.tensor(array, name=value.name)
    value.const_value = tensor
    value.shape = ir.Shape(array.shape)
    value.type = ir.TensorType(tensor.dtype)


def array_of(value: ir.Value | None) -> np.ndarray | None:
    """The contents of an initializer, None for any other value."""
    if value is None or value.const_value is None or not value.is_initializer():
        return None
    return np.asarray(value.const_value.numpy())


def is_float_constant(value: ir.Value | None) -> bool:
    """Whether the value is a float32 initializer."""
    return value is not None and value.is_initializer() and value.dtype is ir.DataType.FLOAT


def attribute(node: ir.Node, name: str, default: object = None) -> object:
    """An attribute's value, or the default."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def int_attribute(node: ir.Node, name: str, default: int) -> int:
    """An integer attribute."""
    found = node.attributes.get(name)
    return default if found is None else found.as_int()


def float_attribute(node: ir.Node, name: str, default: float) -> float:
    """A float attribute."""
    found = node.attributes.get(name)
    return default if found is None else found.as_float()


def ints_attribute(node: ir.Node, name: str, default: Sequence[int]) -> list[int]:
    """A list-of-integers attribute."""
    found = node.attributes.get(name)
    return list(default) if found is None else list(found.as_ints())


def string_attribute(node: ir.Node, name: str, default: str) -> str:
    """A string attribute."""
    found = node.attributes.get(name)
    return default if found is None else found.as_string()


def kept_attributes(node: ir.Node) -> Attributes:
    """All attributes, for a node that replaces this one."""
    return dict(node.attributes)


def replace_uses(graph: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    """Let every reader of ``old``, graph outputs included, read ``new``."""
    old.replace_all_uses_with(new, replace_graph_outputs=True)


def is_read(value: ir.Value) -> bool:
    """Whether a node or the graph's outputs read the value."""
    return bool(list(value.uses())) or value.is_graph_output()


def maker_of(value: ir.Value | None) -> ir.Node | None:
    """The node that computes a value, seen through Identity; None for what no node computes."""
    node = value.producer() if value else None
    while node is not None and node.op_type == "Identity":
        node = node.inputs[0].producer() if node.inputs[0] else None
    return node


def remove(graph: ir.Graph, node: ir.Node) -> None:
    """Remove an unread node."""
    graph.remove(node, safe=True)


def lengths_from(value: ir.Value | None, axis: int) -> list[int] | None:
    """The lengths of the axes from ``axis`` on, None unless all are known."""
    if value is None or value.shape is None:
        return None
    lengths = list(value.shape)[axis:]
    return [int(n) for n in lengths] if all(isinstance(n, int) for n in lengths) else None  # type: ignore[arg-type]


def reduction_axes(node: ir.Node) -> list[int] | None:
    """The axes of a reduction as non-negative numbers, None when unknown."""
    x = node.inputs[0]
    if x is None or x.shape is None:
        return None
    given = array_of(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] is not None else np.zeros(0, np.int64)
    if given is None:
        return None
    every = [] if int_attribute(node, "noop_with_empty_axes", 0) else list(range(len(x.shape)))
    return sorted(int(a) % len(x.shape) for a in given.reshape(-1)) or every
