"""Records the accuracy on one test set."""

import onnx_ir as ir

from sparcl_compile.graphs.accuracies import ANY_CLASS, OWN_CLASSES, SHAPE, accuracy_matrix
from sparcl_compile.graphs.builder import DOUBLE, INT64, Builder
from sparcl_compile.interface.names import Role

MATRICES = ((ANY_CLASS, "class_mean"), (OWN_CLASSES, "task_mean"))
"""Each matrix and its mean, in the order of the counts in ``score.correct``."""


def build() -> ir.Model:
    """Make the graph ``record``.

    Inputs: ``task`` int64 [], the task that was learned last, the row; ``of`` int64 [], the task whose test set was
    counted, the column; state ``score.correct`` int64 [2] (any class, own classes) and ``score.seen`` int64 [],
    ``accuracy.class`` and ``accuracy.task`` float64 [tasks, tasks].
    Results: ``.next`` of both matrices, with the accuracy in percent in its place; ``class_mean`` and ``task_mean``
    float64 [], the mean of the row up to this column.
    """
    b = Builder("record", "Write the counted accuracy into the matrices.")
    op = b.op
    task, of = b.feed("task", INT64, []), b.feed("of", INT64, [])
    correct = b.state("score.correct", INT64, [2], Role.RESULT)
    seen = b.state("score.seen", INT64, [], Role.RESULT)
    percent = op.Div(op.Mul(b.cast(correct, DOUBLE), 100.0), b.cast(seen, DOUBLE))
    row, column = op.Reshape(task, [1]), op.Reshape(of, [1])
    place = op.Unsqueeze(op.Concat(row, column, axis=0), [0])
    for number, (name, mean) in enumerate(MATRICES):
        matrix = op.ScatterND(accuracy_matrix(b, name), place, op.Gather(percent, [number]))
        measured = op.Slice(op.Gather(matrix, task), [0], op.Add(column, 1))
        b.result(f"{name}.next", matrix, DOUBLE, SHAPE)
        b.result(mean, op.ReduceMean(measured, keepdims=0), DOUBLE, [])
    return b.model()
