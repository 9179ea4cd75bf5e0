"""Adds up the features of exemplars by class (iCaRL)."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.exemplars import SUMS, unit
from sparcl_compile.interface.names import Role


def build(classes: int, size: int) -> ir.Model:
    """Make the graph ``add_means``.

    Inputs: ``features`` float32 [N, D] and ``labels`` int64 [N] of exemplars; state ``exemplar_sums`` float32 [C, D].
    Result: ``exemplar_sums.next``, with their features, at length 1, in the sums of their classes.

    Args:
        classes: the size C of the model's head.
        size: the number D of features.
    """
    b = Builder("add_means", "Add the unit features of exemplars to the sums of their classes.")
    op = b.op
    features, labels = b.feed("features", FLOAT, ["N", size]), b.feed("labels", INT64, ["N"])
    sums = b.state(SUMS, FLOAT, [classes, size], Role.METHOD)
    one_hot = op.Transpose(op.OneHot(labels, [classes], [0.0, 1.0], axis=-1), perm=[1, 0])
    b.result(f"{SUMS}.next", op.Add(sums, op.MatMul(one_hot, unit(b, features))), FLOAT, [classes, size])
    return b.model()
