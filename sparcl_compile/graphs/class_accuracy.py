"""The accuracy of each class, and of all samples, from the counts."""

import math

import onnx_ir as ir

from sparcl_compile.graphs.builder import DOUBLE, Builder
from sparcl_compile.graphs.class_scores import class_scores


def build(classes: int) -> ir.Model:
    """Make the graph ``class_accuracy``.

    Inputs: state ``score.class_correct`` and ``score.class_seen`` int64 [C].
    Results, in percent and NaN where nothing was counted: ``accuracy`` float64 [], of all samples; ``by_class`` float64
    [C], of those of each class.

    Args:
        classes: the size C of the model's head.
    """
    b = Builder("class_accuracy", "The accuracies from the counts of right answers.")
    op = b.op
    correct, seen = class_scores(b, classes)
    b.result("accuracy", _percent(b, *(op.ReduceSum(one, keepdims=0) for one in (correct, seen))), DOUBLE, [])
    b.result("by_class", _percent(b, correct, seen), DOUBLE, [classes])
    return b.model()


def _percent(b: Builder, correct: ir.Value, seen: ir.Value) -> ir.Value:
    op = b.op
    percent = op.Div(op.Mul(b.cast(correct, DOUBLE), 100.0), b.cast(op.Max(seen, 1), DOUBLE))
    return op.Where(op.Greater(seen, 0), percent, math.nan)
