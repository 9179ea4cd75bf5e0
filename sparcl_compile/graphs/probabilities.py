"""The probabilities of some classes, and the likeliest of them."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder


def build(classes: int) -> ir.Model:
    """Make the graph ``probabilities``.

    Inputs: ``logits`` float32 [N, C]; ``classes`` int64 [M], the classes to choose among, ascending.
    Results: ``probability`` float32 [N, M], the softmax over the logits of these classes, in their order; ``best``
    int64 [N], the class with the largest logit (ties: lower class).

    Args:
        classes: the size C of the model's head.
    """
    b = Builder("probabilities", "The probabilities of some classes, and the likeliest of them.")
    op = b.op
    logits, allowed = b.feed("logits", FLOAT, ["N", classes]), b.feed("classes", INT64, ["M"])
    scores = op.Gather(logits, allowed, axis=1)
    b.result("probability", op.Softmax(scores, axis=1), FLOAT, ["N", "M"])
    b.result("best", op.Gather(allowed, op.ArgMax(scores, axis=1, keepdims=0)), INT64, ["N"])
    return b.model()
