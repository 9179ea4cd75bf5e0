"""How many predictions are right."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder


def build() -> ir.Model:
    """Make the graph ``score``.

    Inputs: ``logits`` float32 [N, C], ``labels`` int64 [N], ``class_mask`` float32 [N, C] (0, or -1e9 for a class that
    takes no part). Result: ``correct`` int64 [], how often the largest masked logit (ties: lower class) is the label's.
    """
    b = Builder("score", "Count the predictions that equal the label.")
    logits = b.feed("logits", FLOAT, ["N", "C"])
    labels = b.feed("labels", INT64, ["N"])
    class_mask = b.feed("class_mask", FLOAT, ["N", "C"])
    best = b.op.ArgMax(b.op.Add(logits, class_mask), axis=1, keepdims=0)
    b.result("correct", b.count(b.op.Equal(best, labels)), INT64, [])
    return b.model()
