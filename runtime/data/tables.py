"""The samples of a run as the tables that a program names."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sparcl_compile.runtime.data.dataset import Dataset
from sparcl_compile.runtime.data.tasks import Task


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Samples with their labels.

    Attributes:
        raw: [N, C, H, W], in the data's dtype.
        labels: int64 [N].
        classes: the labels that occur.
    """

    raw: np.ndarray
    labels: np.ndarray
    classes: Sequence[int]

    @staticmethod
    def of(dataset: Dataset) -> "Table":
        """Return all training samples of a data set."""
        return Table(dataset.x_train, dataset.y_train, range(len(dataset.classes)))

    def fields(self) -> dict[str, np.ndarray]:
        """Return the columns by name."""
        return {"raw": self.raw, "labels": self.labels, "classes": np.asarray(self.classes, np.int64)}

    def rows(self, numbers: np.ndarray | slice) -> "Table":
        """Return some rows; the classes stay."""
        return Table(self.raw[numbers], self.labels[numbers], self.classes)

    def chunks(self, at_most: int) -> Iterator["Table"]:
        """Yield all rows in order, ``at_most`` so many at a time."""
        for start in range(0, len(self.labels), at_most):
            yield self.rows(slice(start, start + at_most))


class Tables:
    """The tables ``data``, ``train`` and ``test`` of interface/program.py.

    Attributes:
        tasks: in their order; empty until the classes are dealt out.
        learned: the samples that each of them learns from: its own, or those of all tasks so far.
    """

    def __init__(self, data: Table, tasks: Sequence[Task] = ()) -> None:
        self._data, self.tasks, self.learned = data, tasks, tasks

    def table(self, name: str, integer: Callable[[str], int]) -> Table:
        """Return a table; ``integer`` tells the values ``task`` and ``of``."""
        if name == "data":
            return self._data
        if name == "train":
            task = self.learned[integer("task")]
            return Table(task.x_train, task.y_train, task.classes)
        task = self.tasks[integer("of")]
        return Table(task.x_test, task.y_test, task.classes)
