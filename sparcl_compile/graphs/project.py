"""Turns a step's gradient so that the loss of the replayed batch does not rise (A-GEM)."""

from collections.abc import Sequence

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, Builder
from sparcl_compile.graphs.gradients import Gradient, accumulated, kept
from sparcl_compile.graphs.keep_reference import REFERENCE
from sparcl_compile.interface.names import accumulator_name

TINY = 1e-30
"""The least squared length that is divided by: a reference of zeros changes nothing."""


def build(gradients: Sequence[Gradient]) -> ir.Model:
    """Make the graph ``project`` (Chaudhry et al., ICLR 2019, equation 11).

    ``g - (g . r / r . r) r`` where ``g . r < 0``, else ``g``, with all parameters as one vector.

    Inputs: state ``W.reference`` r and the accumulators g of all parameters. Results: ``.next`` of the accumulators.

    Args:
        gradients: the parameters.
    """
    b = Builder("project", "Take out of the gradient what is against that of the replayed batch.")
    op = b.op
    pairs = [(one, accumulated(b, one), kept(b, one, REFERENCE)) for one in gradients]

    def product(values: Sequence[tuple[ir.Value, ir.Value]]) -> ir.Value:
        sums = [op.ReduceSum(op.Mul(first, second), keepdims=0) for first, second in values]
        return op.Sum(*sums)

    along = product([(gradient, reference) for _, gradient, reference in pairs])
    length = product([(reference, reference) for _, _, reference in pairs])
    share = op.Div(op.Min(along, 0.0), op.Max(length, TINY))
    for one, gradient, reference in pairs:
        # A scalar would be broadcast over a last axis of 1 element by element.
        factor = op.Reshape(share, [1] * len(one.shape)) if one.shape else share
        turned = op.Sub(gradient, op.Mul(reference, factor))
        b.result(f"{accumulator_name(one.name)}.next", turned, FLOAT, one.shape)
    return b.model()
