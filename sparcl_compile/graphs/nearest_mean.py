"""Answers by the nearest mean of exemplars (iCaRL)."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, Builder
from sparcl_compile.graphs.class_masks import NOT_A_CLASS
from sparcl_compile.graphs.exemplars import SUMS, unit
from sparcl_compile.interface.names import Role


def build(classes: int, size: int) -> ir.Model:
    """Make the graph ``nearest_mean`` (Rebuffi et al., CVPR 2017, equation 2).

    Inputs: ``features`` float32 [N, D]; state ``exemplar_sums`` float32 [C, D]. Result: ``logits`` float32 [N, C], the
    negative squared distance of the features from the mean of each class's exemplars, both at length 1, and -1e9 for a
    class that has none.

    Args:
        classes: the size C of the model's head.
        size: the number D of features.
    """
    b = Builder("nearest_mean", "Score each class by the distance of its exemplars' mean.")
    op = b.op
    features, sums = b.feed("features", FLOAT, ["N", size]), b.state(SUMS, FLOAT, [classes, size], Role.METHOD)
    empty = op.Equal(op.ReduceSum(op.Abs(sums), [1], keepdims=0), 0.0)
    cosine = op.MatMul(unit(b, features), op.Transpose(unit(b, sums), perm=[1, 0]))
    distance = op.Sub(op.Mul(cosine, 2.0), 2.0)
    b.result("logits", op.Where(empty, NOT_A_CLASS, distance), FLOAT, ["N", classes])
    return b.model()
