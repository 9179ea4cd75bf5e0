"""The accuracy matrices of a run, which two graphs share."""

from collections.abc import Sequence

import onnx_ir as ir

from sparcl_compile.graphs.builder import DOUBLE, Builder
from sparcl_compile.interface.names import Role

ANY_CLASS, OWN_CLASSES = "accuracy.class", "accuracy.task"
"""The names of the matrices: any class of the head may be answered, or the task's own classes only."""
SHAPE: Sequence[str] = ("tasks", "tasks")


def accuracy_matrix(b: Builder, name: str) -> ir.Value:
    """Add a matrix as state: float64 [tasks, tasks] in percent, NaN where nothing was measured.

    Row i was measured after task i was learned, column j on the test set of task j.
    """
    return b.state(name, DOUBLE, SHAPE, Role.RESULT)
