"""Matrices in Constant nodes in front of all weights, as spectrograms have them."""

import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.heads import above, below
from sparcl_compile.passes.core.edit import is_float_constant
from sparcl_compile.passes.core.layers import WEIGHT_SLOTS
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.importing.constants import IN_NODE
from sparcl_compile.passes.importing.folded import bias_of


def is_front_end(node: ir.Node, value: ir.Value) -> bool:
    """Whether a MatMul reads a Constant node in front of all weights, without a bias.

    That is asked of files that store weights elsewhere; what the nodes in front read has its role by then.
    """
    bias = bias_of(node)
    biased = bias is not None and bias.const_value is not None and bias.const_value.size > 1
    if biased or not value.meta.get(IN_NODE, False):
        return False
    before = (read for other in node.inputs if other is not value for maker in above(other) for read in maker.inputs)
    trains = any(read is not None and role_of(read) is Role.PARAMETER for read in before)
    return not trains and any(map(_has_stored_weight, below(*node.outputs)))


def _has_stored_weight(node: ir.Node) -> bool:
    read = (node.inputs[slot] for slot in WEIGHT_SLOTS.get(node.op_type, ()))
    weights = (value for value in read if value is not None and is_float_constant(value) and len(value.shape or ()) > 1)
    return any(not value.meta.get(IN_NODE, False) for value in weights)
