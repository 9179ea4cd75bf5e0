"""The gradients of the operators of the domain ``sparcl``, in the terms of ONNX Runtime's gradient builder."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import onnx_ir as ir

from sparcl_compile.passes.core.edit import int_attribute
from sparcl_compile.passes.core.operators import (
    BATCH_NORM,
    BATCH_NORM_GRADIENT,
    MAX_POOL,
    MAX_POOL_GRADIENT,
    SPARSE_CONV,
    SPARSE_INPUT_GRADIENT,
    SPARSE_WEIGHT_GRADIENT,
    sparse_nodes,
)
from sparcl_compile.passes.gradients.sparse import dims_of_plane, kept


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
    BATCH_NORM: (
        GradientNode(
            BATCH_NORM_GRADIENT, ("GO(0)", "I(0)", "I(1)", "O(3)", "O(4)", "O(0)"), ("GI(0)", "GI(1)", "GI(2)", "GI(3)")
        ),
    ),
    MAX_POOL: (GradientNode(MAX_POOL_GRADIENT, ("GO(0)", "I(0)", "O(0)"), ("GI(0)",)),),
}
"""By operator its gradient. The builder takes no attributes from the operator; ``complete`` adds them.

ONNX Runtime 1.19.2 leaves out the k-th output of such a node when the k-th *input* of the operator needs no gradient,
whatever the output stands for. So an addend is the fourth input, and the weight's gradient is there only where the
activation's is (rule 7 of ``differentiate_by_builder``).
"""

KEY_INPUT = {SPARSE_INPUT_GRADIENT: 2, SPARSE_WEIGHT_GRADIENT: 2, BATCH_NORM_GRADIENT: 3, MAX_POOL_GRADIENT: 2}
"""Which input of a gradient node says whose it is: a weight's index, a normalisation's saved mean, a pool's output."""

GATE = 5
"""Which input of a normalisation's gradient is the normalisation's output."""


def complete(graph: ir.Graph) -> None:
    """Give the gradient nodes that the builder made the attributes of their operators."""
    nodes = sparse_nodes(graph)
    owners = {node.inputs[2]: node for node in nodes if node.op_type == SPARSE_CONV}
    owners |= {node.outputs[3]: node for node in nodes if node.op_type == BATCH_NORM}
    owners |= {node.outputs[0]: node for node in nodes if node.op_type == MAX_POOL}
    for node in (node for node in nodes if node.op_type in KEY_INPUT):
        owner = owners[node.inputs[KEY_INPUT[node.op_type]]]
        node.attributes.update(kept(owner))
        if node.op_type == BATCH_NORM_GRADIENT and not int_attribute(owner, "relu", 0):
            # Only the gate of a ReLU reads the output, which would be kept for nothing otherwise.
            node.resize_inputs(GATE)
        if node.op_type == SPARSE_INPUT_GRADIENT:
            plane = dims_of_plane(owner.inputs[0])
            node.attributes["input_shape"] = ir.AttrInt64s("input_shape", plane)
