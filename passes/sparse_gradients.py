"""The gradients of the operators of the domain ``sparcl``, in the terms of ONNX Runtime's gradient builder."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import onnx_ir as ir

from sparcl_compile.passes.base import SPARSE_CONV, SPARSE_DOMAIN, SPARSE_INPUT_GRADIENT, SPARSE_WEIGHT_GRADIENT


class GradientNode(NamedTuple):
    """One node of a gradient.

    ``I(k)``, ``O(k)`` and ``GO(k)`` are the operator's inputs, outputs and their gradients, ``GI(k)`` is an input's
    gradient.
    """

    op_type: str
    inputs: Sequence[str]
    outputs: Sequence[str]


GRADIENTS: Mapping[str, Sequence[GradientNode]] = {
    SPARSE_CONV: (
        GradientNode(SPARSE_INPUT_GRADIENT, ("GO(0)", "I(1)", "I(2)", "I(3)"), ("GI(0)",)),
        GradientNode(SPARSE_WEIGHT_GRADIENT, ("I(0)", "GO(0)", "I(2)", "I(3)"), ("GI(1)",)),
    ),
}
"""By operator its gradient. The builder takes no attributes from the operator; ``complete`` adds them."""

INDEX_INPUT = {SPARSE_INPUT_GRADIENT: 2, SPARSE_WEIGHT_GRADIENT: 2}
"""Where a gradient node names its weight's index, which says whose gradient it is."""


def sparse_nodes(graph: ir.Graph) -> list[ir.Node]:
    """The nodes of the domain."""
    return [node for node in graph if node.domain == SPARSE_DOMAIN]


def complete(graph: ir.Graph) -> None:
    """Give the gradient nodes that the builder made the attributes of their operators."""
    forward = {node.inputs[2]: node for node in sparse_nodes(graph) if node.op_type == SPARSE_CONV}
    for node in sparse_nodes(graph):
        if node.op_type not in INDEX_INPUT:
            continue
        source = forward[node.inputs[INDEX_INPUT[node.op_type]]]
        attributes = dict(source.attributes)
        if node.op_type == SPARSE_INPUT_GRADIENT:
            attributes["input_shape"] = ir.AttrInt64s("input_shape", _plane(source.inputs[0]))
        node.attributes.update(attributes)


def _plane(x: ir.Value | None) -> list[int]:
    shape = () if x is None or x.shape is None else tuple(x.shape)
    return [int(d) for d in shape[1:3]]  # type: ignore[arg-type]
