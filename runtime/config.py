"""The options of a run and their defaults."""

import dataclasses
import os
from typing import Any, Literal, get_args

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.names import AUGMENTS
from sparcl_compile.interface.ranges import check_choice, check_seed
from sparcl_compile.interface.specs import OptimizerSpec

MOST_THREADS = max(64, os.cpu_count() or 1)
"""More than this machine has cores, every graph having threads of its own, take only time."""
LARGEST = 2**62
"""Counts are integers of 64 bits."""
LARGEST_RATE = 2.0**24
"""Gradients are sums in float32, which rounds by 2**-24: at this rate the rounding of terms of the size of a weight is
a step of that size. Where steps have a limit, no larger rate would show in anything.
"""
FAR_RATE = 10.0
"""So many times the artifact's own rate is far from it: the digits lose accuracy from 8 times on (docs/defaults.md)."""
BATCH_SIZES = (32, 16, 8)
STEPS = 100
"""A run that names no batch size takes the largest of these that gives a task so many steps, or the smallest: what a
task learns depends on its steps more than on its samples (docs/defaults.md, Steps).
"""
AUGMENTATIONS = ("auto", "none", *AUGMENTS.values())
Normalise = Literal["auto", "unit", "raw"]
NORMALISATIONS = get_args(Normalise)
AT_LEAST_ONE = ("tasks", "epochs", "batch_size", "buffer_size")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Options of one run; see ``sparcl-run --help``.

    A checkpoint resumes only under equal values, but for ``threads``, which changes no more than rounding, and
    ``learning_rate``: a run that diverged is worth continuing with a lower one. Without a learning rate the artifact's
    own is taken, without a batch size one that gives a task enough steps. ``task_classes`` says how many classes each
    task has; then ``tasks`` is their number.

    Raises:
        FieldError: a value is out of its range.
    """

    data: str
    learning_rate: float | None = None
    tasks: int = 5
    epochs: int = 5
    batch_size: int | None = None
    buffer_size: int = 200
    seed: int = 0
    class_order_seed: int | None = None
    augment: str = "auto"
    normalise: str = "auto"
    threads: int | None = None
    task_classes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check the ranges that need no data."""
        if self.task_classes is not None:
            self._check_counts(self.task_classes)
        for name in AT_LEAST_ONE:
            self._check_count(name, getattr(self, name))
        if self.learning_rate is not None and not 0.0 < self.learning_rate < float("inf"):
            raise FieldError("learning_rate", self.learning_rate, mend="give a number above 0, for example 0.03")
        if self.threads is not None and not 1 <= self.threads <= MOST_THREADS:
            raise FieldError("threads", self.threads, mend=f"give a number from 1 to {MOST_THREADS}")
        check_choice("augment", self.augment, AUGMENTATIONS)
        check_choice("normalise", self.normalise, NORMALISATIONS)
        check_seed(self.seed)
        check_seed(self.class_order_seed or 0, "class_order_seed")

    def _check_count(self, name: str, value: int | None) -> None:
        if value is not None and value < 1:
            raise FieldError(name, value, mend="give at least 1")
        if value is not None and value > LARGEST:
            raise FieldError(name, value, mend=f"give a number from 1 to {LARGEST}")

    def _check_counts(self, counts: tuple[int, ...]) -> None:
        if not counts or min(counts) < 1:
            given = ",".join(map(str, counts))
            raise FieldError("tasks", given, mend="give at least 1 class for each task, for example 4,3,3")
        object.__setattr__(self, "tasks", len(counts))

    @property
    def dealing(self) -> int | tuple[int, ...]:
        """The number of tasks, or that of the classes of each."""
        return self.tasks if self.task_classes is None else self.task_classes

    def check_buffer(self, least: int) -> None:
        """Raise FieldError where the replay buffer has fewer rows than the artifact's program needs."""
        if self.buffer_size < least:
            problem = f"the artifact's method keeps samples of each class of the model, which are {least}"
            raise FieldError("buffer_size", self.buffer_size, problem, f"give at least {least}")

    def check_rate(self, step_limit: float) -> None:
        """Raise FieldError for a learning rate that steps with a limit do not depend on; 0 limits none of them."""
        if step_limit > 0.0 and (self.learning_rate or 0.0) > LARGEST_RATE:
            problem = f"steps have a limit, {step_limit:g}, which rounding errors of gradients alone would reach"
            raise FieldError("learning_rate", self.learning_rate, problem, f"give at most {LARGEST_RATE:.0f}")

    def rate_notes(self, own: OptimizerSpec) -> tuple[str, ...]:
        """What is doubtful about the learning rate that was given: one line, or none.

        Args:
            own: the artifact's own rates, and the limit of its steps. Without a limit a rate too high ends in a loss
                that is no number, which says so itself.
        """
        rate, usual = self.learning_rate, own.rate_for(self.epochs)
        if rate is None or own.step_limit == 0.0 or rate <= FAR_RATE * usual:
            return ()
        limited = f"most steps will be as large as their limit, {own.step_limit:g}, whatever their gradients are"
        return (f"learning rate {rate:g} is {rate / usual:.0f} times the artifact's own, {usual:g}: {limited}",)

    def completed(self, samples: int, rate: float) -> tuple["RunConfig", int, float]:
        """Give what was left open its value.

        Args:
            samples: for training, of all tasks, those that are held out included.
            rate: the learning rate where none was given.

        Returns:
            The options without any gap, their batch size and their learning rate.
        """
        rate = rate if self.learning_rate is None else self.learning_rate
        batch = self.batch_size or batch_size_for(samples * self.epochs / self.tasks)
        return dataclasses.replace(self, batch_size=batch, learning_rate=rate), batch, rate

    def dimensions(self, sample: tuple[int, int, int]) -> dict[str, int]:
        """Return the lengths of the state that a run knows, for samples of these channels, height and width."""
        return {**dict(zip("CHW", sample, strict=True)), "tasks": self.tasks, "buffer": self.buffer_size}

    def values(self, batch: int, rate: float, augments: bool, classes: int) -> dict[str, float]:
        """Return the values that a program may name beside its own.

        Args:
            batch: samples a step.
            rate: the learning rate.
            augments: whether training batches are changed at random.
            classes: how many the data have.
        """
        return {
            "seed": self.seed,
            "batch": batch,
            "epochs": self.epochs,
            "learning_rate": rate,
            "augment": int(augments),
            "class_order_seed": self.class_order_seed or 0,
            "classes_in_data": classes,
        }

    def identity(self) -> dict[str, Any]:
        """The options that a resumed run must share."""
        values = dataclasses.asdict(self)
        del values["threads"], values["learning_rate"]
        return {**values, "task_classes": self.task_classes and list(self.task_classes)}


def batch_size_for(presented: float) -> int:
    """Return the batch size of a task that presents so many samples, where the user names none."""
    return next((size for size in BATCH_SIZES if presented >= STEPS * size), BATCH_SIZES[-1])
