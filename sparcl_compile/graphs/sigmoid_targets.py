"""The targets of iCaRL's loss: labels for the task's classes, what the network said before the task for older ones."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import BOOL, DOUBLE, FLOAT, INT64, Builder
from sparcl_compile.graphs.recorded import classes_seen

OUTSIDE = -1.0
"""The target of a class that takes no part."""


def build(classes: int) -> ir.Model:
    """Make the graph ``sigmoid_targets`` (Rebuffi et al., CVPR 2017, algorithm 3).

    Inputs: ``outputs`` float32 [N, C], logits from before the task; ``labels`` int64 [N]; ``classes`` int64 [T], the
    labels of the task; ``distill`` float64 [], the weight of the mean loss; state ``classes_seen`` float32 [C].
    Results: ``distill_target`` float32 [N, C]: the sigmoid of the logits for a class of an earlier task, whether it is
    the label for one of this task, and -1 for others, which take no part; ``distill_weight`` float32 [N], each
    distill / N rounded from float64; ``ce_weight`` float32 [N], zeros.

    Args:
        classes: the size C of the model's head.
    """
    b = Builder("sigmoid_targets", "Let old outputs and new labels be the targets of a sigmoid for each class.")
    op = b.op
    outputs, labels = b.feed("outputs", FLOAT, ["N", classes]), b.feed("labels", INT64, ["N"])
    own, distill = b.feed("classes", INT64, ["T"]), b.feed("distill", DOUBLE, [])
    old = op.Greater(classes_seen(b, classes), 0.0)
    marks = op.ScatterElements(op.Expand(0, [classes]), own, op.Expand(1, op.Shape(own)), axis=0)
    hit = op.OneHot(labels, [classes], [0.0, 1.0], axis=-1)
    new = op.Where(b.cast(marks, BOOL), hit, OUTSIDE)
    b.result("distill_target", op.Where(old, op.Sigmoid(outputs), new), FLOAT, ["N", classes])
    each = op.Shape(labels)
    weights = op.Div(op.Expand(distill, each), b.cast(each, DOUBLE))
    b.result("distill_weight", b.cast(weights, FLOAT), FLOAT, ["N"])
    b.result("ce_weight", op.Expand(0.0, each), FLOAT, ["N"])
    return b.model()
