"""Metrics of a continual run, computed from its accuracy matrices.

An accuracy matrix A is [T, T] in percent: row i was measured after task i was learned, column j on the test set of
task j. Entries above the diagonal may be NaN (not measured). All functions return new values and raise
ValueError when A is not square, is empty, or holds NaN on or below the diagonal.
"""

import numpy as np
from numpy.typing import ArrayLike


def average_accuracy(matrix: ArrayLike) -> float:
    """Mean of the last row, in percent: ACC of Lopez-Paz and Ranzato (NeurIPS 2017).

    On class-incremental accuracies this is Class-IL, on task-incremental ones Task-IL.
    """
    return float(_checked(matrix)[-1].mean())


def learning_accuracy(matrix: ArrayLike) -> float:
    """Mean of the diagonal, in percent: accuracy right after learning a task (LA of Riemer et al., ICLR 2019)."""
    return float(_checked(matrix).diagonal().mean())


def forgetting(matrix: ArrayLike) -> float:
    """Mean over the tasks but the last of the best accuracy before the last task minus the final one.

    In percentage points, positive when something was forgotten; 0 for a single task. Source: Chaudhry et al.,
    "Riemannian Walk for Incremental Learning", ECCV 2018, section 4.
    """
    a = _checked(matrix)
    if len(a) == 1:
        return 0.0
    return float((np.nanmax(a[:-1, :-1], axis=0) - a[-1, :-1]).mean())


def backward_transfer(matrix: ArrayLike) -> float:
    """Mean over the tasks but the last of the final accuracy minus the one right after learning.

    In percentage points, negative when something was forgotten; 0 for a single task. Source: Lopez-Paz and Ranzato,
    "Gradient Episodic Memory for Continual Learning", NeurIPS 2017.
    """
    a = _checked(matrix)
    if len(a) == 1:
        return 0.0
    return float((a[-1, :-1] - a.diagonal()[:-1]).mean())


def summary(class_matrix: ArrayLike, task_matrix: ArrayLike) -> dict[str, float]:
    """All metrics under the keys of ``sparcl-run --json``.

    Args:
        class_matrix: [T, T], any class may be answered; ``forgetting`` and the like without prefix come from it.
        task_matrix: [T, T], only the task's own classes may be answered; its keys begin with ``task_``.
    """
    return {
        "class_il": average_accuracy(class_matrix),
        "task_il": average_accuracy(task_matrix),
        "forgetting": forgetting(class_matrix),
        "backward_transfer": backward_transfer(class_matrix),
        "learning_accuracy": learning_accuracy(class_matrix),
        "task_forgetting": forgetting(task_matrix),
        "task_backward_transfer": backward_transfer(task_matrix),
        "task_learning_accuracy": learning_accuracy(task_matrix),
    }


def _checked(matrix: ArrayLike) -> np.ndarray:
    a = np.asarray(matrix, np.float64)
    if a.ndim != 2 or a.shape[0] != a.shape[1] or a.size == 0:
        raise ValueError(f"an accuracy matrix is square, this one has shape {a.shape}")
    if np.isnan(a[np.tril_indices(len(a))]).any():
        raise ValueError("an accuracy matrix holds NaN where a learned task should have been measured")
    return a
