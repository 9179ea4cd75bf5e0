"""Matrices in Constant nodes in front of all weights, as spectrograms have them."""

from collections.abc import Iterator

import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.heads import above, below
from sparcl_compile.passes.core.edit import is_float_constant
from sparcl_compile.passes.core.layers import WEIGHT_SLOTS
from sparcl_compile.passes.core.marks import DOUBT_KEY
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.importing.constants import IN_NODE
from sparcl_compile.passes.importing.folded import bias_of

SPECTRAL = {"Abs", "Log", "MatMul", "Mul", "Pow", "ReduceL2", "ReduceSumSquare", "Sqrt"}
"""What is made of the product with a matrix of a spectrogram, and seldom of a layer's."""
MOVING = {"Concat", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}


def is_front_end(node: ir.Node, value: ir.Value) -> bool:
    """Whether a MatMul reads a Constant node in front of all weights, without a bias.

    That is asked of files that store weights elsewhere; what the nodes in front read has its role by then.
    """
    bias = bias_of(node)
    biased = bias is not None and bias.const_value is not None and bias.const_value.size > 1
    if biased or not value.meta.get(IN_NODE, False):
        return False
    trains = any(role_of(read) is Role.PARAMETER for read in _in_front(node, value))
    return not trains and any(map(_has_stored_weight, below(*node.outputs)))


def may_be_front_end(node: ir.Node, value: ir.Value) -> bool:
    """Whether a MatMul of a file that stores all weights in Constant nodes reads one as spectrograms read theirs.

    Then nothing in front of it trains for certain, it has no bias, and its product is squared, rooted or multiplied
    again, and not activated.
    """
    trains = (
        role_of(read) is Role.PARAMETER and DOUBT_KEY not in read.metadata_props for read in _in_front(node, value)
    )
    readers = {reader.op_type for reader in _readers(node)}
    return bias_of(node) is None and not any(trains) and bool(readers) and readers <= SPECTRAL


def _in_front(node: ir.Node, value: ir.Value) -> Iterator[ir.Value]:
    """What the nodes read that a product is computed from, but for its own matrix."""
    makers = (maker for other in node.inputs if other is not value for maker in above(other))
    yield from (read for maker in makers for read in maker.inputs if read is not None)


def _readers(node: ir.Node) -> Iterator[ir.Node]:
    """What reads the product of a node, in whatever shape."""
    for reader in (usage.node for output in node.outputs for usage in output.uses()):
        yield from _readers(reader) if reader.op_type in MOVING else (reader,)


def _has_stored_weight(node: ir.Node) -> bool:
    read = (node.inputs[slot] for slot in WEIGHT_SLOTS.get(node.op_type, ()))
    weights = (value for value in read if value is not None and is_float_constant(value) and len(value.shape or ()) > 1)
    return any(not value.meta.get(IN_NODE, False) for value in weights)
