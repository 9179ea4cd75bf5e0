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
    running sum as in Schwarz et al., ICML 2018), its gradient ``p (W - anchor)`` with ``p = strength * fisher``. A step
    of rate r along it overshoots the anchor by more than it was away where ``r p > 2``, and diverges. So the step is
    implicit in the penalty: ``(g + p (W - anchor)) / (1 + r p)`` with the loss's gradient g, by which plain SGD goes to
    the minimum of ``g . W' + penalty(W') + (W' - W)^2 / 2 r`` (Parikh and Boyd, Proximal Algorithms, 2014),
    at any strength. Weights that a mask or a gradient mask holds get nothing.

    Inputs: ``learning_rate`` float32 [], that of the step; all parameters W with their accumulators and masks; state
    ``W.fisher`` and ``W.anchor``. Results: ``.next`` of the accumulators.

    Args:
        gradients: the parameters.
        strength: lambda.
    """
    b = Builder("pull_back", "Add the gradient of a quadratic penalty to the stored gradients.")
    op, rate = b.op, b.feed("learning_rate", FLOAT, [])
    for one in gradients:
        way = op.Sub(parameter(b, one), kept(b, one, ANCHOR))
        stiffness = op.Mul(kept(b, one, FISHER), strength)
        pulled = op.Add(accumulated(b, one), moved(b, one, op.Mul(stiffness, way)))
        step = op.Mul(rate, one.rate)
        step = op.Reshape(step, [1] * len(one.shape)) if one.shape else step
        total = op.Div(pulled, op.Add(op.Mul(stiffness, step), 1.0))
        b.result(f"{accumulator_name(one.name)}.next", total, FLOAT, one.shape)
    return b.model()
