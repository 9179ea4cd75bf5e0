"""The content that a checkpoint must have, beyond its checksum."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sparcl_compile.interface.codec import from_plain
from sparcl_compile.interface.program import Program
from sparcl_compile.interface.specs import StateSpec
from sparcl_compile.runtime.data.dataset import Dataset

DTYPES: Mapping[str, tuple[str, ...]] = {"sample": ("uint8", "float32"), "sum": ("int64", "float64")}
"""The types of elements that the manifest leaves to the data."""


@dataclasses.dataclass(frozen=True)
class Rate:
    """A learning rate, and after how many epochs it began."""

    after_epochs: int
    learning_rate: float


@dataclasses.dataclass(frozen=True)
class Formula:
    """The normalisation ``(x / scale - mean) / std``."""

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Samples:
    """The form of a run's samples: their type and their axes C, H, W; and their classes."""

    type: str
    shape: tuple[int, int, int]
    normalise: Formula
    classes: tuple[str, ...]
    classes_by_task: tuple[tuple[int, ...], ...]


@dataclasses.dataclass(frozen=True)
class Learning:
    """The task that a learner has under way, and the file of its samples."""

    epochs: int
    batch: int
    learning_rate: float
    file: str


@dataclasses.dataclass(frozen=True)
class Progress:
    """The part of a checkpoint that is no tensor."""

    counters: Mapping[str, int]
    fired: Mapping[str, int]
    seconds: float
    learning_rates: tuple[Rate, ...]
    samples: Samples | None
    learning: Learning | None
    taken: int


NOT_LEARNING: Mapping[str, Any] = {"learning": None, "taken": 0}
"""What a run has of a learner's progress."""


def samples_of(dataset: Dataset, formula: Mapping[str, Any], by_task: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Return the entry ``samples`` of a run's progress.

    Args:
        dataset: its data.
        formula: how they are normalised.
        by_task: the classes of each task.
    """
    form = {"type": str(dataset.x_train.dtype), "shape": list(dataset.sample_shape)}
    return {**form, "normalise": formula, "classes": list(dataset.classes), "classes_by_task": by_task}


def check_progress(progress: Mapping[str, Any], program: Program) -> None:
    """Check the counters of a run.

    Args:
        progress: as the checkpoint has it.
        program: of the artifact.

    Raises:
        ValueError: it is not that of a run of this program; the message says why.
    """
    found = from_plain(Progress, {"samples": None, **progress})
    if found.taken < 0 or (found.learning and min(found.learning.epochs, found.learning.batch) < 1):
        raise ValueError("a number of its task is below 1")
    if found.counters.keys() != program.counters.keys() or found.fired.keys() != program.events.keys():
        raise ValueError("its counters are not those of the program")
    if min((*found.counters.values(), *found.fired.values()), default=0) < 0:
        raise ValueError("a counter is below 0")
    if not math.isfinite(found.seconds) or not found.learning_rates:
        raise ValueError("its seconds are no number, or it has no learning rate")
    if not all(0.0 < rate.learning_rate < math.inf for rate in found.learning_rates):
        raise ValueError("a learning rate is no number above 0")


def check_place(progress: Mapping[str, Any], identity: Mapping[str, Any], program: Program) -> None:
    """Check that a run can go on from the place where checked progress stands, which an export does not need.

    Raises:
        ValueError: the run has no such place.
    """
    task, epoch = progress["counters"]["task"], progress["counters"]["epoch"]
    tasks, epochs = identity["tasks"], identity["epochs"]
    if epoch >= epochs or (task == tasks and epoch):
        raise ValueError(f"it stands at task {task}, epoch {epoch} of {tasks} tasks with {epochs} epochs")
    for kind, number in progress["fired"].items():
        if number > len(program.events[kind]):
            raise ValueError(f"{number} events of {len(program.events[kind])} have run")


KEPT = "value."
"""In front of the name of a value that is kept of an epoch under way."""
Arrays = dict[str, np.ndarray]


def named_kept(kept: Mapping[str, np.ndarray]) -> Arrays:
    """Return the values of an epoch under way by the names that they have in a checkpoint."""
    return {f"{KEPT}{name}": array for name, array in kept.items()}


def split_kept(arrays: Mapping[str, np.ndarray], program: Program) -> tuple[Arrays, Arrays]:
    """Return the tensors of a run, and by their own names the values that are kept of an epoch under way.

    Raises:
        ValueError: a value is missing, or is neither a number nor a row of numbers.
    """
    names = {f"{KEPT}{name}": name for name in program.kept}
    kept = {names[name]: array for name, array in arrays.items() if name in names}
    if kept and len(kept) < len(names):
        raise ValueError("of an epoch under way a value is missing")
    if any(array.ndim > 1 or str(array.dtype) not in ("int64", "float64") for array in kept.values()):
        raise ValueError("of an epoch under way a value is no number")
    return {name: array for name, array in arrays.items() if name not in names}, kept


def check_arrays(arrays: Mapping[str, np.ndarray], specs: Sequence[StateSpec], lengths: Mapping[str, int]) -> None:
    """Check the tensors of a run against the manifest.

    Args:
        arrays: by name.
        specs: the manifest's state.
        lengths: known ones, by the names that the manifest gives them; the others must only agree.

    Raises:
        ValueError: one is missing, unknown or of another form; the message names it.
    """
    saved = {spec.name: spec for spec in specs if spec.saved}
    unknown = sorted(arrays.keys() - saved.keys())
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no state of the artifact")
    known = dict(lengths)
    for name, spec in saved.items():
        if name in arrays:
            _check_array(arrays[name], spec, known)
        elif "samples" not in spec.shape:  # those of a task come when it begins
            raise ValueError(f"{name!r} is missing")


def _check_array(array: np.ndarray, spec: StateSpec, known: dict[str, int]) -> None:
    if str(array.dtype) not in DTYPES.get(spec.dtype, (spec.dtype,)):
        raise ValueError(f"{spec.name!r} is {array.dtype}, the manifest has {spec.dtype}")
    if len(array.shape) != len(spec.shape):
        raise ValueError(f"{spec.name!r} has {len(array.shape)} axes, the manifest {len(spec.shape)}")
    for own, length in zip(array.shape, spec.shape, strict=True):
        due = known.setdefault(length, own) if isinstance(length, str) else length
        if own != due:
            raise ValueError(f"{spec.name!r} has a length of {own} where {due} is due")
