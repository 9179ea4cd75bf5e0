"""Computes the loss of a step, whether it is finite, and the mean of the epoch so far."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import BOOL, DOUBLE, FLOAT, INT64, Builder
from sparcl_compile.interface.names import Role


def build() -> ir.Model:
    """Make the graph ``check_loss``.

    Inputs: ``losses`` float32 [k], those of the step's batches; state ``epoch.loss`` float64 [] and ``epoch.steps``
    int64 [], the sum and the number of the losses of the epoch so far.
    Results: ``loss`` float64 [], the sum of the losses; ``finite`` bool [], whether that is a number; ``mean``
    float64 [], the mean loss of the epoch with this step; ``epoch.loss.next`` and ``epoch.steps.next``.
    """
    b = Builder("check_loss", "Add up the losses of a step and of the epoch, and check that they are numbers.")
    op = b.op
    losses = b.feed("losses", FLOAT, ["k"])
    total, steps = b.state("epoch.loss", DOUBLE, [], Role.RESULT), b.state("epoch.steps", INT64, [], Role.RESULT)
    loss = op.ReduceSum(b.cast(losses, DOUBLE), keepdims=0)
    total, steps = op.Add(total, loss), op.Add(steps, 1)
    b.result("loss", loss, DOUBLE, [])
    b.result("finite", op.Not(op.Or(op.IsNaN(loss), op.IsInf(loss))), BOOL, [])
    b.result("mean", op.Div(total, b.cast(steps, DOUBLE)), DOUBLE, [])
    b.result("epoch.loss.next", total, DOUBLE, [])
    b.result("epoch.steps.next", steps, INT64, [])
    return b.model()
