"""What a learner tells: a step, the end of a call, answers, accuracies, a report."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

Reason = Literal["done", "steps", "seconds", "cancelled"]
"""Why a call ended: nothing is left to learn, a budget is spent, or the progress function said so."""


@dataclasses.dataclass(frozen=True)
class Step:
    """A step that was made.

    Attributes:
        task: from 0.
        epoch: from 0, of this task.
        epochs: of this task.
        done: steps of this epoch.
        total: steps that this epoch has.
        loss: of this step.
        sparsity: share of zeros among the masked weights.
    """

    task: int
    epoch: int
    epochs: int
    done: int
    total: int
    loss: float
    sparsity: float


Progress = Callable[[Step], object]
"""Called after each step; it cancels by returning False."""


@dataclasses.dataclass(frozen=True)
class Learned:
    """The end of a call that learns.

    Attributes:
        reason: why it ended; anything but ``done`` leaves a task under way.
        steps: how many it made.
        loss: of the last one; None without any.
    """

    reason: Reason
    steps: int
    loss: float | None


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """Answers.

    Attributes:
        names: the likeliest class of each sample.
        classes: the classes that were to choose among, in the order of the columns.
        probabilities: float32 [N, classes]; each row sums to 1.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: np.ndarray


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Accuracies in percent.

    Attributes:
        accuracy: over all samples.
        by_class: over those of each class that has any.
        samples: how many there were.
    """

    accuracy: float
    by_class: Mapping[str, float]
    samples: int


@dataclasses.dataclass(frozen=True)
class TrainingFlops:
    """FLOPs of all training so far, by the paper's convention and true, dense and as it was (docs/flops.md)."""

    paper_dense: float
    paper_sparse: float
    true_dense: float
    true_sparse: float


@dataclasses.dataclass(frozen=True)
class Report:
    """What is known of a learner.

    Attributes:
        classes: the names, by place of the head.
        places: how many places the head has.
        tasks: how many are learned.
        accuracy: in percent, of the last evaluation; None before the first.
        accuracy_by_class: the same by class, where there were samples of it.
        sparsity: share of zeros among the masked weights.
        gradient_sparsity: share of their gradients that is not applied.
        all_parameters: share of zeros among all parameters.
        training_flops: of all training.
        steps: that were made.
        samples_seen: presentations of a task's samples.
        samples_replayed: presentations from the replay buffer.
        samples_removed: samples that their task left out, since it had learned them.
        seconds: spent in steps.
        state_bytes: of the tensors that a save writes.
        process_bytes: the most memory that this process has had; None where the system does not say.
    """

    classes: tuple[str, ...]
    places: int
    tasks: int
    accuracy: float | None
    accuracy_by_class: Mapping[str, float]
    sparsity: float
    gradient_sparsity: float
    all_parameters: float
    training_flops: TrainingFlops
    steps: int
    samples_seen: int
    samples_replayed: int
    samples_removed: int
    seconds: float
    state_bytes: int
    process_bytes: int | None
