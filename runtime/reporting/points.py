"""The points that a run is recorded at: its beginning, each epoch and each task."""

import dataclasses
from collections.abc import Mapping
from typing import Protocol


@dataclasses.dataclass(frozen=True)
class LayerPoint:
    """A masked layer after an epoch.

    Attributes:
        sparsity: the share of its weights that is zero, or of its channels.
        churn: the share of what it keeps that it did not keep an epoch before.
    """

    sparsity: float
    churn: float


@dataclasses.dataclass(frozen=True)
class EpochPoint:
    """A run after an epoch.

    Attributes:
        task: from 1.
        epoch: of the task, from 1.
        epochs_done: of all tasks.
        step: optimizer steps so far.
        loss: its mean over the epoch.
        learning_rate: of the run, before its decay and the factors of layers.
        sparsity: of all masked weights.
        samples_seen: presentations of the tasks' own samples so far, without replayed ones.
        samples_replayed: presentations from the replay buffer so far.
        samples_removed: so far.
        seconds: of training so far.
        layers: by masked weight, or by space of channels.
    """

    task: int
    epoch: int
    epochs_done: int
    step: int
    loss: float
    learning_rate: float
    sparsity: float
    samples_seen: int
    samples_replayed: int
    samples_removed: int
    seconds: float
    layers: Mapping[str, LayerPoint]


@dataclasses.dataclass(frozen=True)
class TaskPoint:
    """A run after a task, or before the first one.

    Attributes:
        task: its number from 1; 0 before any training.
        epochs_done: of all tasks.
        step: optimizer steps so far.
        class_accuracies: on each task so far in percent, every class a candidate.
        task_accuracies: the same, the classes of the sample's task alone.
        pictures: the masks as PNGs in base64, by layer.
    """

    task: int
    epochs_done: int
    step: int
    class_accuracies: tuple[float, ...]
    task_accuracies: tuple[float, ...]
    pictures: Mapping[str, str]


class Recorder(Protocol):
    """A listener to the points of a run, in their order."""

    def begin(self, start: TaskPoint, epochs_done: int) -> None:
        """Hear where the run stands; what was recorded beyond is void, since the run makes it again."""

    def epoch(self, point: EpochPoint) -> None:
        """Hear of a finished epoch."""

    def task(self, point: TaskPoint) -> None:
        """Hear of a finished task."""
