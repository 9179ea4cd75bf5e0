"""Tasks of a continual run, and whether a data set fits a model."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np

from sparcl_compile.interface.errors import DataError, FieldError
from sparcl_compile.interface.manifest import Layout
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


def check_tasks(dataset: Dataset, tasks: int) -> None:
    """Raise FieldError where there are no tasks, or more of them than classes."""
    classes = len(dataset.classes)
    if not 1 <= tasks <= classes:
        mend = f"give a number from 1 to {classes}"
        raise FieldError("tasks", tasks, f"{dataset.name} has {classes} classes", mend)


def split_classes(dataset: Dataset, tasks: int, order: Sequence[int] | None = None) -> list[Task]:
    """Deal the classes out to tasks.

    Where the classes do not divide evenly the earlier tasks get one more.

    Args:
        dataset: the data.
        tasks: how many tasks, as ``check_tasks`` allows.
        order: the order of the classes; None for their own.
    """
    dealt = range(len(dataset.classes)) if order is None else order
    size, extra = divmod(len(dealt), tasks)
    ends = [task * size + min(task, extra) for task in range(tasks + 1)]
    return [_task(dataset, tuple(dealt[start:end])) for start, end in itertools.pairwise(ends)]


def _task(dataset: Dataset, classes: tuple[int, ...]) -> Task:
    train, test = np.isin(dataset.y_train, classes), np.isin(dataset.y_test, classes)
    return Task(
        classes=classes,
        x_train=dataset.x_train[train],
        y_train=dataset.y_train[train],
        x_test=dataset.x_test[test],
        y_test=dataset.y_test[test],
    )


def check_fits(dataset: Dataset, input_shape: Sequence[int | None], classes: int) -> Layout:
    """Find out how samples must lie for a model.

    Args:
        dataset: the data.
        input_shape: the model's input without the batch axis.
        classes: the size of the model's head.

    Returns:
        ``NCHW`` when samples fit as they are (and where both orders would do), ``NHWC`` when the channels go last,
        ``flat`` when the model takes [N, C * H * W].

    Raises:
        DataError: the shapes do not agree, or the data have more classes than the model's head.
    """
    channels, height, width = dataset.sample_shape
    layouts: dict[tuple[int | None, ...], Layout] = {
        (channels * height * width,): "flat",
        (height, width, channels): "NHWC",
        (channels, height, width): "NCHW",
    }
    layout = layouts.get(tuple(input_shape))
    if layout is None:
        raise DataError(_misfit(dataset, input_shape))
    if len(dataset.classes) > classes:
        count = len(dataset.classes)
        raise DataError(
            f"{dataset.name} has {count} classes, the model's head {classes}; "
            f"compile it with sparcl-compile --classes {count}"
        )
    return layout


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
    if len(lengths) == len(input_shape) and math.prod(dataset.sample_shape) == math.prod(lengths):
        mend = f"the sizes agree, so reshape the data to {taken}"
    else:
        mend = f"give data of {taken}, or compile a model that takes {given}"
    return f"the model takes {taken}, {dataset.name} gives {given}: {mend}"


def _by(shape: Sequence[int | None]) -> str:
    return "x".join(map(str, shape))
