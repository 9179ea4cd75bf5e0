"""The learning rate of a step: the run's own, but for the end of a task, over which it falls to nothing."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import DOUBLE, FLOAT, INT64, Builder


def build(share: float) -> ir.Model:
    """Make the graph ``decay``.

    Inputs: ``learning_rate`` float32 [], that of the run; int64 [] each: ``epoch``, from 0, of ``epochs``, and ``done``
    of the epoch's ``total`` steps, those before this one.
    Result: ``rate`` float32 [], ``learning_rate`` times the steps that the task still has, this one included, by those
    of its last share, but never more than 1. It is computed in float64 and never 0.

    Args:
        share: of a task, from its end, over which the rate falls; above 0 and at most 1.
    """
    b = Builder("decay", "Let the learning rate fall in a line over the last part of a task.")
    op = b.op
    rate = b.feed("learning_rate", FLOAT, [])
    epoch, epochs, done, total = (b.feed(name, INT64, []) for name in ("epoch", "epochs", "done", "total"))
    steps = op.Mul(epochs, total)
    left = op.Max(op.Sub(steps, op.Add(op.Mul(epoch, total), done)), 1)
    falling = op.Mul(b.cast(steps, DOUBLE), share)
    factor = op.Min(op.Div(b.cast(left, DOUBLE), falling), 1.0)
    b.result("rate", b.cast(op.Mul(b.cast(rate, DOUBLE), factor), FLOAT), FLOAT, [])
    return b.model()
