"""Masks of the classes that take part; two graphs share them."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import Builder

NOT_A_CLASS = -1e9
"""Added to the logits of a class that does not take part; finite, see passes/differentiating/attach_loss.py."""


def own_classes(b: Builder, labels: ir.Value, classes: int) -> ir.Value:
    """A mask that lets only these classes take part.

    Args:
        b: the graph.
        labels: int64 [K], the classes' numbers, below ``classes``.
        classes: the size C of the model's head.

    Returns:
        float32 [C], 0 or ``NOT_A_CLASS``.
    """
    op = b.op
    own = op.Expand(0.0, op.Shape(labels))
    return op.ScatterElements(op.Expand(NOT_A_CLASS, [classes]), labels, own, axis=0)
