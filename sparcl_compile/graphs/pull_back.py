"""Adds the gradient of the penalty that keeps parameters where earlier tasks left them (online EWC)."""

from collections.abc import Sequence

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, Builder
from sparcl_compile.graphs.consolidate import ANCHOR, FISHER
from sparcl_compile.graphs.gradients import Gradient, accumulated, kept, moved, parameter
from sparcl_compile.interface.names import accumulator_name


def build(gradients: Sequence[Gradient], strength: float) -> ir.Model:
    """Make the graph ``pull_back``.

    The penalty is ``strength / 2 * sum fisher * (W - anchor)^2`` (Kirkpatrick et al., PNAS 2017, equation 3; with one
    running sum as in Schwarz et al., ICML 2018), its gradient ``strength * fisher * (W - anchor)``. Weights that a mask
    or a gradient mask holds get none.

    Inputs: all parameters W with their accumulators and masks, and state ``W.fisher`` and ``W.anchor``. Results:
    ``.next`` of the accumulators.

    Args:
        gradients: the parameters.
        strength: lambda.
    """
    b = Builder("pull_back", "Add the gradient of a quadratic penalty to the stored gradients.")
    op = b.op
    for one in gradients:
        way = op.Sub(parameter(b, one), kept(b, one, ANCHOR))
        pull = op.Mul(op.Mul(kept(b, one, FISHER), way), strength)
        total = op.Add(accumulated(b, one), moved(b, one, pull))
        b.result(f"{accumulator_name(one.name)}.next", total, FLOAT, one.shape)
    return b.model()
