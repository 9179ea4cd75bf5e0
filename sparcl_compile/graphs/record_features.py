"""Keeps the features of a task's samples, from which exemplars are chosen."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.exemplars import SAMPLE_FEATURES, SAMPLE_LABELS, sample_features, sample_labels, unit


def build(size: int) -> ir.Model:
    """Make the graph ``record_features``.

    Inputs: ``features`` float32 [N, D] and ``labels`` int64 [N] of some samples; ``first`` int64 [], the number of the
    first of them in the task; state ``sample_features`` float32 [samples, D] and ``sample_labels`` int64 [samples].
    Results: ``.next`` of both, with the features, at length 1, and the labels in their rows.

    Args:
        size: the number D of features.
    """
    b = Builder("record_features", "Write the unit features and the labels of some samples into their rows.")
    op = b.op
    features, labels = b.feed("features", FLOAT, ["N", size]), b.feed("labels", INT64, ["N"])
    rows = op.Unsqueeze(op.Add(op.Range(0, b.size(labels), 1), b.feed("first", INT64, [])), [1])
    held, known = sample_features(b, size), sample_labels(b)
    b.result(f"{SAMPLE_FEATURES}.next", op.ScatterND(held, rows, unit(b, features)), FLOAT, ["samples", size])
    b.result(f"{SAMPLE_LABELS}.next", op.ScatterND(known, rows, labels), INT64, ["samples"])
    return b.model()
