"""Metrics of a continual run, computed from its accuracy matrices."""

import math
from collections.abc import Mapping

import onnx_ir as ir

from sparcl_compile.graphs.accuracies import ANY_CLASS, OWN_CLASSES, accuracy_matrix
from sparcl_compile.graphs.builder import DOUBLE, Builder

NAMES: Mapping[str, tuple[str, ...]] = {
    ANY_CLASS: ("class_il", "forgetting", "backward_transfer", "learning_accuracy"),
    OWN_CLASSES: ("task_il", "task_forgetting", "task_backward_transfer", "task_learning_accuracy"),
}
"""The names of the metrics, by matrix: the mean of the last row, and the three others of ``build``."""
LAST = 2**63 - 1


def build() -> ir.Model:
    """Make the graph ``summary``, for matrices that are complete on and below the diagonal.

    Inputs: state ``accuracy.class`` and ``accuracy.task`` float64 [tasks, tasks] in percent; NaN above the diagonal was
    not measured. Results, float64 [] in percent and in percentage points, those of the second matrix with ``task_``
    before the name:

    - ``class_il``, ``task_il``: mean of the last row, ACC of Lopez-Paz and Ranzato (NeurIPS 2017).
    - ``forgetting``: mean over the tasks but the last of the best accuracy before the last task minus the final one;
      0 for a single task. Chaudhry et al., "Riemannian Walk for Incremental Learning", ECCV 2018, section 4.
    - ``backward_transfer``: mean over the tasks but the last of the final accuracy minus the one right after learning;
      0 for a single task. Lopez-Paz and Ranzato, "Gradient Episodic Memory for Continual Learning", NeurIPS 2017.
    - ``learning_accuracy``: mean of the diagonal, LA of Riemer et al. (ICLR 2019).
    """
    b = Builder("summary", "The metrics of a continual run from its accuracy matrices.")
    for matrix, names in NAMES.items():
        with b.scope(matrix):
            metrics = _metrics(b, accuracy_matrix(b, matrix))
        for name, value in zip(names, metrics, strict=True):
            b.result(name, value, DOUBLE, [])
    return b.model()


def _metrics(b: Builder, matrix: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value, ir.Value]:
    """In the order of ``NAMES``."""
    op = b.op
    tasks = b.size(matrix)
    earlier = op.Less(op.Range(0, tasks, 1), op.Sub(tasks, 1))
    final = op.Gather(matrix, op.Sub(tasks, 1))
    diagonal = op.Slice(op.Reshape(matrix, [-1]), [0], [LAST], [0], op.Reshape(op.Add(tasks, 1), [1]))
    return (
        op.ReduceMean(final, keepdims=0),
        _mean_over(b, earlier, op.Sub(_best(b, matrix, earlier), final)),
        _mean_over(b, earlier, op.Sub(final, diagonal)),
        op.ReduceMean(diagonal, keepdims=0),
    )


def _best(b: Builder, matrix: ir.Value, earlier: ir.Value) -> ir.Value:
    """The best accuracy on each task that was measured before the last task: [tasks]."""
    op = b.op
    counts = op.And(op.Unsqueeze(earlier, [1]), op.Not(op.IsNaN(matrix)))
    return op.ReduceMax(op.Where(counts, matrix, -math.inf), [0], keepdims=0)


def _mean_over(b: Builder, earlier: ir.Value, values: ir.Value) -> ir.Value:
    """The mean over the tasks but the last, 0 where there is only one."""
    op = b.op
    total = op.ReduceSum(op.Where(earlier, values, 0.0), keepdims=0)
    return op.Div(total, b.cast(op.Max(b.count(earlier), 1), DOUBLE))
