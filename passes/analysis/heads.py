"""The last layer of a classifier."""

from collections.abc import Callable, Iterator

import onnx_ir as ir

from sparcl_compile.passes.core.edit import (
    is_float_constant,
)

LAYERS = {"Gemm", "MatMul", "Conv"}


def find_head(graph: ir.Graph, is_layer: Callable[[ir.Node], bool] | None = None) -> ir.Node | None:
    """Find the last layer before the logits: by default one with a weight of its own, or what ``is_layer`` says."""
    found = is_layer or has_weight
    waiting, seen = [graph.outputs[0]], set()
    while waiting:
        node = waiting.pop(0).producer()
        if node is None or node in seen:
            continue
        seen.add(node)
        if found(node):
            return node
        waiting.extend(value for value in node.inputs if value is not None)
    return None


def has_weight(node: ir.Node) -> bool:
    """Whether a node is a layer with a weight of its own."""
    return node.op_type in LAYERS and weight_slot(node) is not None


def weight_slot(node: ir.Node) -> int | None:
    """Which input of a layer is its weight: an initializer of at least two axes."""
    slots = (1, 0) if node.op_type in ("MatMul", "Gemm") else (1,)
    for slot in slots:
        value = node.inputs[slot]
        if is_float_constant(value) and value is not None and value.shape is not None and len(value.shape) >= 2:
            return slot
    return None


def never(_: ir.Node) -> bool:
    """No node."""
    return False


def above(value: ir.Value | None, is_last: Callable[[ir.Node], bool] = never) -> Iterator[ir.Node]:
    """The nodes that a value is computed from, nearest first; nothing is looked for above one that ``is_last``."""
    waiting, seen = [value], set()
    while waiting:
        here = waiting.pop(0)
        node = None if here is None else here.producer()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        if not is_last(node):
            waiting.extend(node.inputs)


def below(*values: ir.Value) -> list[ir.Node]:
    """The nodes that are computed from values, each once."""
    waiting, found = list(values), dict[ir.Node, None]()
    while waiting:
        readers = [usage.node for usage in waiting.pop().uses() if usage.node not in found]
        found.update(dict.fromkeys(readers))
        waiting += [out for node in readers for out in node.outputs]
    return list(found)
