"""The weights and class masks of a batch of the current task."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import DOUBLE, FLOAT, INT64, Builder
from sparcl_compile.graphs.class_masks import balanced_classes, own_classes
from sparcl_compile.graphs.replay_buffer import buffer_labels, buffer_seen, stored_labels
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.options import LossClasses

KNOWN = ("all", "task", "batch", "balanced")


def build(classes: int, loss_classes: LossClasses = "all", weight: float = 1.0) -> ir.Model:
    """Make the graph ``batch``: the mean cross-entropy over N samples of the current task.

    Inputs: ``labels`` int64 [N], of which only the length counts but for classes of the batch; ``classes`` int64 [K],
    the labels of the task; with ``balanced`` classes state ``buffer.labels`` and ``buffer.seen``.
    Results: ``class_mask`` float32 [N, C], 0 for a class that takes part in the loss and -1e9 for another, or for
    ``balanced`` classes the logarithm of what each is of the step's loss; ``own_mask`` [N, C], the mask that lets only
    the task's classes take part; ``ce_weight`` [N], each 1 / N rounded from float64;
    ``distill_target`` [N, C] and ``distill_weight`` [N], zeros.

    Args:
        classes: the size C of the model's head.
        loss_classes: ``all`` lets every class of the head take part, ``task`` those of the task, ``batch`` those of the
            batch (ER-ACE, Caccia et al., ICLR 2022); ``balanced`` is told in ``class_masks.balanced_classes``.
        weight: of the mean cross-entropy of all replayed samples of a step; ``balanced`` reads it.

    Raises:
        OptionError: the classes of the loss have no such name.
    """
    if loss_classes not in KNOWN:
        raise OptionError(f"unknown classes {loss_classes!r} of the loss; choose one of {', '.join(KNOWN)}")
    b = Builder("batch", "Weights and class masks of a batch of the current task.")
    op = b.op
    labels, allowed = b.feed("labels", INT64, ["N"]), b.feed("classes", INT64, ["K"])
    each = op.Shape(labels)
    every = op.Concat(each, [classes], axis=0)
    zeros = op.Expand(0.0, every)
    own = op.Expand(own_classes(b, allowed, classes), every)
    taking_part = own if loss_classes == "task" else zeros
    if loss_classes == "batch":
        taking_part = op.Expand(own_classes(b, labels, classes), every)
    if loss_classes == "balanced":
        stored = stored_labels(b, buffer_labels(b), buffer_seen(b))
        taking_part = op.Expand(balanced_classes(b, allowed, stored, classes, weight), every)
    # A number for each sample, so that no samples need no division.
    weights = op.Div(b.cast(op.Expand(1.0, each), DOUBLE), b.cast(each, DOUBLE))
    b.result("class_mask", taking_part, FLOAT, ["N", classes])
    b.result("own_mask", own, FLOAT, ["N", classes])
    b.result("ce_weight", b.cast(weights, FLOAT), FLOAT, ["N"])
    b.result("distill_target", zeros, FLOAT, ["N", classes])
    b.result("distill_weight", op.Expand(0.0, each), FLOAT, ["N"])
    return b.model()
