"""Tasks of a continual run, and whether a data set fits a model."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import overload

import numpy as np

from sparcl_compile.interface.errors import DataError, FieldError
from sparcl_compile.interface.manifest import Layout
from sparcl_compile.runtime.data.arrange import layouts_of
from sparcl_compile.runtime.data.dataset import Dataset


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """The samples of some classes, in the data set's order and with its labels.

    Attributes:
        classes: the labels that occur.
        x_train: [N, C, H, W], dtype of the data set.
        y_train: int64 [N].
        x_test: [M, C, H, W].
        y_test: int64 [M].
    """

    classes: tuple[int, ...]
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


Dealing = int | tuple[int, ...]
"""A number of tasks, or the number of classes of each."""


def check_tasks(dataset: Dataset, tasks: Dealing) -> None:
    """Raise FieldError where there are no tasks, more of them than classes, or not the data's number of classes."""
    classes = len(dataset.classes)
    if isinstance(tasks, tuple):
        _check_counts(dataset, tasks)
    elif not 1 <= tasks <= classes:
        mend = f"give a number from 1 to {classes}"
        raise FieldError("tasks", tasks, dataset.told_classes, mend)


def _check_counts(dataset: Dataset, counts: tuple[int, ...]) -> None:
    classes = len(dataset.classes)
    if sum(counts) != classes:
        given = ",".join(map(str, counts))
        mend = f"give numbers that add up to {classes}"
        raise FieldError("tasks", given, f"{dataset.told_classes}, these are {sum(counts)}", mend)


def split_classes(dataset: Dataset, tasks: Dealing, order: Sequence[int] | None = None) -> list[Task]:
    """Deal the classes out to tasks.

    Where the classes do not divide evenly the earlier tasks get one more.

    Args:
        dataset: the data.
        tasks: how many tasks, or how many classes each of them has, as ``check_tasks`` allows.
        order: the order of the classes; None for their own.
    """
    dealt = range(len(dataset.classes)) if order is None else order
    ends = [0, *itertools.accumulate(tasks if isinstance(tasks, tuple) else _even(len(dealt), tasks))]
    return [_task(dataset, tuple(dealt[start:end])) for start, end in itertools.pairwise(ends)]


def _even(classes: int, tasks: int) -> list[int]:
    size, extra = divmod(classes, tasks)
    return [size + (task < extra) for task in range(tasks)]


def _task(dataset: Dataset, classes: tuple[int, ...]) -> Task:
    train, test = np.isin(dataset.y_train, classes), np.isin(dataset.y_test, classes)
    return Task(
        classes=classes,
        x_train=dataset.x_train[train],
        y_train=dataset.y_train[train],
        x_test=dataset.x_test[test],
        y_test=dataset.y_test[test],
    )


class SeenTasks(Sequence[Task]):
    """Each task with the training samples of all before it as its own, one task after another.

    Only the last one that was asked for is kept: all together would be many times the data.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks, self._made = tasks, dict[int, Task]()

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self._tasks)

    @overload
    def __getitem__(self, number: int) -> Task: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Task]: ...
    def __getitem__(self, number: int | slice) -> Task | Sequence[Task]:
        """Return the task of this number."""
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        if number not in self._made:
            self._made = {number: _joined([*self._tasks[:number], self._tasks[number]])}
        return self._made[number]


def _joined(tasks: Sequence[Task]) -> Task:
    return Task(
        classes=tuple(label for task in tasks for label in task.classes),
        x_train=np.concatenate([task.x_train for task in tasks]),
        y_train=np.concatenate([task.y_train for task in tasks]),
        x_test=tasks[-1].x_test,
        y_test=tasks[-1].y_test,
    )


LEARNED: Mapping[str, Callable[[Sequence[Task]], Sequence[Task]]] = {"task": lambda tasks: tasks, "seen": SeenTasks}
"""What the tasks learn from, by the field ``train`` of a program."""


def check_fits(
    dataset: Dataset, input_shape: Sequence[int | None], classes: int, compiled: Layout | None = None
) -> Layout:
    """Find out how samples must lie for a model.

    Args:
        dataset: the data.
        input_shape: the model's input without the batch axis.
        classes: the size of the model's head.
        compiled: the layout that the model was compiled for.

    Returns:
        The layout in which the samples fit: that of the compilation where several do, without it ``NCHW``.

    Raises:
        DataError: the shapes do not agree, or the data have more classes than the model's head.
    """
    layouts = layouts_of(dataset.sample_shape, input_shape)
    if not layouts:
        raise DataError(_misfit(dataset, input_shape))
    if len(dataset.classes) > classes:
        count = len(dataset.classes)
        raise DataError(
            f"{dataset.told_classes}, the model's head {classes}; compile it with sparcl-compile --classes {count}"
        )
    return compiled if compiled in layouts else layouts[-1]


def check_layout(dataset: Dataset, needed: Layout, compiled: Layout) -> None:
    """Raise DataError where the compiler took the input's axes in another order than the data have them."""
    if needed != compiled:
        raise DataError(
            f"{dataset.name}: its samples would have to lie as {needed}, the artifact was compiled for {compiled}; "
            "export the model with its input in the other order of axes"
        )


def _misfit(dataset: Dataset, input_shape: Sequence[int | None]) -> str:
    given, taken = _by(dataset.sample_shape), _by(input_shape)
    lengths = [length for length in input_shape if length is not None]
    own, due = _long(dataset.sample_shape), _long(input_shape)
    if own != due and sorted(own) == sorted(due):
        mend = f"the axes agree but for their order, so transpose the data to {taken}"
    elif len(lengths) == len(input_shape) and math.prod(dataset.sample_shape) == math.prod(lengths):
        mend = f"the sizes agree, so reshape the data to {taken}"
    else:
        mend = f"give data of {taken}, or compile a model that takes {given}"
    return f"the model takes {taken}, {dataset.name} gives {given}: {mend}"


def _long(shape: Sequence[int | None]) -> list[int]:
    """The lengths above 1."""
    return [length or 0 for length in shape if length != 1]


def _by(shape: Sequence[int | None]) -> str:
    return "x".join("any" if length is None else str(length) for length in shape)
