"""Counts the correct predictions of each class."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import INT64, Builder
from sparcl_compile.graphs.class_scores import CORRECT, SEEN, class_scores


def build(classes: int) -> ir.Model:
    """Make the graph ``count_by_class``, for samples that come some at a time.

    Inputs: ``best`` int64 [N], the classes that were answered; ``labels`` int64 [N]; state ``score.class_correct`` and
    ``score.class_seen`` int64 [C].
    Results: ``.next`` of both, with each sample added to the counts of its label.

    Args:
        classes: the size C of the model's head.
    """
    b = Builder("count_by_class", "Count the predictions that equal the label, by label.")
    op = b.op
    best, labels = b.feed("best", INT64, ["N"]), b.feed("labels", INT64, ["N"])
    correct, seen = class_scores(b, classes)
    right = b.cast(op.Equal(best, labels), INT64)
    b.result(f"{CORRECT}.next", _added(b, correct, labels, right), INT64, [classes])
    b.result(f"{SEEN}.next", _added(b, seen, labels, op.Expand(1, op.Shape(labels))), INT64, [classes])
    return b.model()


def _added(b: Builder, counts: ir.Value, labels: ir.Value, more: ir.Value) -> ir.Value:
    return b.op.ScatterElements(counts, labels, more, axis=0, reduction="add")
