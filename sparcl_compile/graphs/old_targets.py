"""The targets of a batch that is to keep what the network said before the task (Learning without Forgetting)."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import DOUBLE, FLOAT, Builder
from sparcl_compile.graphs.class_masks import NOT_A_CLASS
from sparcl_compile.graphs.recorded import classes_seen


def build(classes: int) -> ir.Model:
    """Make the graph ``old_targets`` (Li and Hoiem, ECCV 2016, section 3).

    Inputs: ``outputs`` float32 [N, C], the logits from before the task; ``distill`` float64 [], the weight of the mean
    distance to them; state ``classes_seen`` float32 [C].
    Results: ``distill_target`` float32 [N, C], those of the classes of earlier tasks and -1e9 for the others, which
    take no part; ``distill_weight`` float32 [N], each distill / N rounded from float64.

    Args:
        classes: the size C of the model's head.
    """
    b = Builder("old_targets", "Let the logits of old classes be the target, with their weight in the loss.")
    op = b.op
    outputs, distill = b.feed("outputs", FLOAT, ["N", classes]), b.feed("distill", DOUBLE, [])
    old = op.Greater(classes_seen(b, classes), 0.0)
    b.result("distill_target", op.Where(old, outputs, NOT_A_CLASS), FLOAT, ["N", classes])
    each = op.Shape(outputs, start=0, end=1)
    weights = op.Div(op.Expand(distill, each), b.cast(each, DOUBLE))
    b.result("distill_weight", b.cast(weights, FLOAT), FLOAT, ["N"])
    return b.model()
