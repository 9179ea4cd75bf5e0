"""Counts the correct predictions."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.class_masks import own_classes
from sparcl_compile.interface.names import Role


def build(classes: int) -> ir.Model:
    """Make the graph ``count_correct``, for a test set some samples at a time.

    Inputs: ``logits`` float32 [N, C], ``labels`` int64 [N], ``classes`` int64 [K], the labels of the task that the
    samples are of; state ``score.correct`` int64 [2] and ``score.seen`` int64 [].
    Results: ``score.correct.next``, how often the largest logit (ties: lower class) was the label's, over any class and
    over the task's own classes; ``score.seen.next``, of how many samples.

    Args:
        classes: the size C of the model's head.
    """
    b = Builder("count_correct", "Count the predictions that equal the label.")
    op = b.op
    logits, labels = b.feed("logits", FLOAT, ["N", classes]), b.feed("labels", INT64, ["N"])
    own = own_classes(b, b.feed("classes", INT64, ["K"]), classes)
    correct = b.state("score.correct", INT64, [2], Role.RESULT)
    seen = b.state("score.seen", INT64, [], Role.RESULT)

    def right(scores: ir.Value) -> ir.Value:
        hits = op.Equal(op.ArgMax(scores, axis=1, keepdims=0), labels)
        return op.Reshape(b.count(hits), [1])

    found = op.Concat(right(logits), right(op.Add(logits, own)), axis=0)
    b.result("score.correct.next", op.Add(correct, found), INT64, [2])
    b.result("score.seen.next", op.Add(seen, b.size(labels)), INT64, [])
    return b.model()
