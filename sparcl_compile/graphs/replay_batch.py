"""A batch from the replay buffer, with its weights in the loss."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import DOUBLE, FLOAT, INT64, Builder
from sparcl_compile.graphs.class_masks import balanced_classes, own_classes
from sparcl_compile.graphs.hash import Stream, stream
from sparcl_compile.graphs.replay_buffer import ReplayBuffer, filled_slots, replay_buffer, stored_labels
from sparcl_compile.interface.options import ReplayClasses

NO_SAMPLE = -1
"""The ``sample_id`` of a sample that is not of the current task."""


def build(
    classes: int, dtype: ir.DataType = FLOAT, loss_classes: ReplayClasses = "all", weight: float = 1.0
) -> ir.Model:
    """Make the graph ``replay_batch``: distinct filled slots in random order, and what they hold.

    Inputs: ``key`` int64 [3] (seed, optimizer steps, 0 logits batch, 1 label batch); ``batch`` int64 [], samples
    wanted; ``ce`` and ``distill`` float64 [], the weights of the mean cross-entropy and of the mean distance to the
    stored logits; but for ``all`` classes ``classes`` int64 [T], the labels of the task; state ``buffer.x``,
    ``buffer.labels``, ``buffer.logits`` and ``buffer.seen``.

    Results, with K = min(batch, filled slots): ``slot`` int64 [K], those with the smallest hashes, ascending; ``x`` raw
    [K, C, H, W], ``labels`` int64 [K] and ``distill_target`` float32 [K, classes] out of these slots; ``class_mask``
    float32 [K, classes], zeros, with ``seen`` classes -1e9 for one that is neither in the buffer nor the task's, with
    ``balanced`` ones the logarithm of what each class is of the step's loss;
    ``ce_weight`` and ``distill_weight`` float32 [K], each ce / K and distill / K rounded from float64; ``sample_id``
    int64 [K], -1.

    Args:
        classes: the size of the model's head.
        dtype: type of the raw samples, float32 or uint8.
        loss_classes: ``seen`` lets only classes that have been seen take part in the loss (ER-ACE, Caccia et al., ICLR
            2022); ``balanced`` is told in ``class_masks.balanced_classes``.
        weight: of the mean cross-entropy of all replayed samples of a step; ``balanced`` reads it.
    """
    b = Builder("replay_batch", "What random filled slots of the replay buffer hold, and its weights in the loss.")
    op = b.op
    key, batch = b.feed("key", INT64, [3]), b.feed("batch", INT64, [])
    factors = {name: b.feed(name, DOUBLE, []) for name in ("ce", "distill")}
    buffer = replay_buffer(b, classes, dtype)
    slot = _drawn(b, key, batch, buffer)
    target = op.Gather(buffer.logits, slot)
    b.result("x", op.Gather(buffer.x, slot), dtype, ["K", "C", "H", "W"])
    b.result("labels", op.Gather(buffer.labels, slot), INT64, ["K"])
    taking_part = _taking_part(b, classes, buffer, loss_classes, weight)
    b.result("class_mask", op.Expand(taking_part, op.Shape(target)), FLOAT, ["K", classes])
    b.result("distill_target", target, FLOAT, ["K", classes])
    each = op.Shape(slot)
    for name, factor in factors.items():
        # A number for each sample, so that no samples need no division.
        weights = op.Div(op.Expand(factor, each), b.cast(each, DOUBLE))
        b.result(f"{name}_weight", b.cast(weights, FLOAT), FLOAT, ["K"])
    b.result("sample_id", op.Expand(NO_SAMPLE, each), INT64, ["K"])
    b.result("slot", slot, INT64, ["K"])
    return b.model()


def _taking_part(
    b: Builder, classes: int, buffer: ReplayBuffer, loss_classes: ReplayClasses, weight: float
) -> ir.Value | float:
    """What is added to the logits: float32 [classes], or 0."""
    if loss_classes == "all":
        return 0.0
    task, stored = b.feed("classes", INT64, ["T"]), stored_labels(b, buffer.labels, buffer.seen)
    if loss_classes == "balanced":
        return balanced_classes(b, task, stored, classes, weight)
    return own_classes(b, b.op.Concat(stored, task, axis=0), classes)


def _drawn(b: Builder, key: ir.Value, batch: ir.Value, buffer: ReplayBuffer) -> ir.Value:
    """The slots of the batch: int64 [K]."""
    op = b.op
    filled = filled_slots(b, buffer.labels, buffer.seen)
    drawn = stream(b, key, Stream.REPLAY, op.Range(0, filled, 1))
    _, slot = b.top(drawn, op.Min(batch, filled), largest=False)
    return slot
