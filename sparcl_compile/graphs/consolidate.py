"""Keeps how much each parameter matters for the tasks so far, and where it was (online EWC)."""

from collections.abc import Sequence

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.gradients import Gradient, kept, parameter

FISHER, ANCHOR, SQUARES = "fisher", "anchor", "squares"
"""Endings: the running Fisher information, the parameter at the end of the last task, the sum of squared gradients."""


def build(gradients: Sequence[Gradient], decay: float) -> ir.Model:
    """Make the graph ``consolidate`` (Schwarz et al., Progress and Compress, ICML 2018, equation 9).

    Inputs: ``samples`` int64 [], how many gradients were squared; all parameters W, and state ``W.squares``, the sum of
    the squares, and ``W.fisher``. Results: ``W.fisher.next``, ``decay * fisher + squares / samples``, the empirical
    Fisher information of the task added; ``W.anchor.next``, W.

    Args:
        gradients: the parameters.
        decay: what is left of the information of earlier tasks at the end of one.
    """
    b = Builder("consolidate", "Add the Fisher information of a task, and remember the parameters.")
    op = b.op
    samples = b.cast(op.Max(b.feed("samples", INT64, []), 1), FLOAT)
    for one in gradients:
        count = op.Reshape(samples, [1] * len(one.shape)) if one.shape else samples
        older = op.Mul(kept(b, one, FISHER), decay)
        information = op.Add(older, op.Div(kept(b, one, SQUARES), count))
        b.result(f"{one.name}.{FISHER}.next", information, FLOAT, one.shape)
        b.result(f"{one.name}.{ANCHOR}.next", op.Identity(parameter(b, one)), FLOAT, one.shape)
    return b.model()
