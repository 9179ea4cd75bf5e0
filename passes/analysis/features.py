"""The features of a classifier: what its last layer reads."""

import math

import onnx_ir as ir

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.heads import below, find_head
from sparcl_compile.passes.analysis.rows import weight_of
from sparcl_compile.passes.core.layers import WEIGHT_SLOTS, layer_weights
from sparcl_compile.passes.core.roles import TRAINABLE, role_of


def features_of(graph: ir.Graph) -> ir.Value:
    """The value [N, ...] that the last layer before the logits reads, with fixed lengths.

    Raises:
        ModelError: there is no such layer, or no vector of a fixed length in front of it.
    """
    head = find_head(graph, lambda node: _weight_slot(node) is not None)
    found = None if head is None else head.inputs[0 if _weight_slot(head) else 1]
    if found is None or found.shape is None or not all(isinstance(length, int) for length in found.shape[1:]):
        raise ModelError("the model has no vector of fixed length in front of its last layer; choose another method")
    return found


def feature_count(graph: ir.Graph) -> int:
    """The number of features; raises ModelError as ``features_of``."""
    return math.prod(length for length in (features_of(graph).shape or ())[1:] if isinstance(length, int))


def _weight_slot(node: ir.Node) -> int | None:
    """The first input of a layer that is a weight, masked or not."""
    for slot in WEIGHT_SLOTS.get(node.op_type, ()):
        weight = weight_of(node.inputs[slot])
        if weight is not None and role_of(weight) in TRAINABLE:
            return slot
    return None


def head_parameters(graph: ir.Graph) -> frozenset[str]:
    """The parameters that only the last layer and what follows it read; none where there is no such layer."""
    head = find_head(graph, lambda node: _weight_slot(node) is not None)
    behind = set() if head is None else {head, *below(*head.outputs)}
    found = (value for value in graph.initializers.values() if role_of(value) in TRAINABLE)
    return frozenset(str(v.name) for v in found if all(_reader(use.node) in behind for use in v.uses()))


def packed_weights(model: ir.Model) -> tuple[str, ...]:
    """The weights, none of them masked, of all layers but the last that train, in layer order."""
    head = head_parameters(model.graph)
    return tuple(
        str(weight.name)
        for weight in layer_weights(model)
        if role_of(weight) is Role.PARAMETER and weight.name not in head
    )


def _reader(node: ir.Node) -> ir.Node:
    """The node that reads a parameter, past the product with its mask."""
    masked = node.op_type == "Mul" and any(v is not None and role_of(v) is Role.MASK for v in node.inputs)
    return next(iter(node.outputs[0].uses())).node if masked else node
