"""The features of a classifier: what its last layer reads."""

import math

import onnx_ir as ir

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.analysis.heads import find_head
from sparcl_compile.passes.analysis.rows import weight_of
from sparcl_compile.passes.core.layers import WEIGHT_SLOTS
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
