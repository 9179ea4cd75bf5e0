"""Gives the weights that a task has pruned to the next one (PackNet)."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, Builder
from sparcl_compile.graphs.packing import OWNER, Packing, owner


def build(packing: Packing) -> ir.Model:
    """Make the graph ``release``.

    Inputs: state ``W.owner`` of the packed weights. Results: ``W.owner.next``, 0 in the place of -1.

    Args:
        packing: the parameters.
    """
    b = Builder("release", "Let pruned weights be free.")
    for one in packing.packed:
        b.result(f"{one.name}.{OWNER}.next", b.op.Max(owner(b, one), 0.0), FLOAT, one.shape)
    return b.model()
