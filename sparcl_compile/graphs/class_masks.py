"""What is added to the logits in a loss: masks of the classes that take part, and how often they do.

Two graphs share them.
"""

import onnx_ir as ir

from sparcl_compile.graphs.builder import DOUBLE, FLOAT, Builder

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


def balanced_classes(b: Builder, task: ir.Value, stored: ir.Value, classes: int, weight: float) -> ir.Value:
    """The logarithm of how much of a step's loss each class is.

    A network that learns ``logits + log frequency`` has logits without the lean to what training shows most (balanced
    softmax: Ren et al., Balanced Meta-Softmax, NeurIPS 2020; for replay Huang et al., Online Continual Learning via
    Logit Adjusted Softmax, TMLR 2024). Of K classes in the task and n_c of n samples of class c in the buffer a class
    is ``[c in task] / K + weight * n_c / n`` of the loss. ``n_c`` is at least 1, so that a class that is not stored has
    a logarithm.

    Args:
        b: the graph.
        task: int64 [K], the labels of the task, below ``classes``.
        stored: int64 [n], the labels in the buffer, which may be none.
        classes: the size C of the model's head.
        weight: of the mean cross-entropy of replayed samples; that of current ones is 1.

    Returns:
        float32 [C].
    """
    op = b.op
    in_task, in_buffer = _count(b, task, classes), _count(b, stored, classes)
    of_task = op.Div(in_task, b.cast(b.size(task), DOUBLE))
    of_buffer = op.Div(op.Max(in_buffer, 1.0), op.Max(b.cast(b.size(stored), DOUBLE), 1.0))
    # float64: runtimes round the logarithms of float32 differently.
    return b.cast(op.Log(op.Add(of_task, op.Mul(of_buffer, weight))), FLOAT)


def _count(b: Builder, labels: ir.Value, classes: int) -> ir.Value:
    """How many of the labels are of each class: float64 [C]."""
    op = b.op
    ones = op.Expand(1, op.Shape(labels))
    return b.cast(op.ScatterElements(op.Expand(0, [classes]), labels, ones, axis=0, reduction="add"), DOUBLE)
