"""Chooses the next exemplar of a class (iCaRL)."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.exemplars import CHOSEN, MEAN, SAMPLE_LABELS, sample_features, sample_labels, unit, vector

NOT_ONE = -2.0
"""Below every cosine."""
TAKEN = -1


def build(size: int) -> ir.Model:
    """Make the graph ``herd`` (Rebuffi et al., CVPR 2017, algorithm 4).

    ``p_k = argmin_x || mean - (phi(x) + sum_{j < k} phi(p_j)) / k ||`` with all vectors and averages at length 1, as
    the paper has them: then the nearest average has the largest cosine with the mean. Ties go to the lower number.

    Inputs: ``label`` int64 [], the class; state ``sample_features`` float32 [samples, D], ``sample_labels`` int64
    [samples], ``herd.mean`` and ``herd.chosen`` float32 [D].
    Results: ``row`` int64 [1], the exemplar's number in the task; ``sample_labels.next``, in which it is -1;
    ``herd.chosen.next``, with its features in the sum.

    Args:
        size: the number D of features.
    """
    b = Builder("herd", "Choose the sample that brings the mean of the exemplars nearest to that of the class.")
    op = b.op
    label, features, labels = b.feed("label", INT64, []), sample_features(b, size), sample_labels(b)
    mean, chosen = vector(b, MEAN, size), vector(b, CHOSEN, size)
    average = unit(b, op.Add(features, chosen))
    cosine = op.ReduceSum(op.Mul(average, mean), [1], keepdims=0)
    row = op.ArgMax(op.Where(op.Equal(labels, label), cosine, NOT_ONE), axis=0, keepdims=1)
    taken = op.ScatterElements(labels, row, op.Expand(TAKEN, [1]), axis=0)
    b.result("row", row, INT64, [1])
    b.result(f"{SAMPLE_LABELS}.next", taken, INT64, ["samples"])
    b.result(f"{CHOSEN}.next", op.Add(chosen, op.Squeeze(op.Gather(features, row), [0])), FLOAT, [size])
    return b.model()
