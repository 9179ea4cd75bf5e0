"""Keeps the gradients of a step's replayed batch (A-GEM)."""

from collections.abc import Sequence

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, Builder
from sparcl_compile.graphs.gradients import Gradient, accumulated

REFERENCE = "reference"
"""Ending of the state with the gradient of the replayed batch."""


def build(gradients: Sequence[Gradient]) -> ir.Model:
    """Make the graph ``keep_reference``.

    Inputs: the accumulators of all parameters. Results: ``W.reference.next``, what they hold.

    Args:
        gradients: the parameters.
    """
    b = Builder("keep_reference", "Copy the stored gradients.")
    for one in gradients:
        b.result(f"{one.name}.{REFERENCE}.next", b.op.Identity(accumulated(b, one)), FLOAT, one.shape)
    return b.model()
