"""The folder of a grid's results: a JSON file a run, written whole, the table, and the state of runs on their way."""

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from sparcl_compile.bench.jobs import Job
from sparcl_compile.interface.errors import GridError
from sparcl_compile.interface.files import readable, write_text


@dataclasses.dataclass(frozen=True)
class Sparsity:
    """The share of zeros of the masked weights, by layer and over all."""

    overall: float
    per_layer: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Config:
    """The rate that a run had in the end."""

    learning_rate: float


@dataclasses.dataclass(frozen=True)
class Result:
    """The numbers of a run's result that a table or a plot shows; accuracies in percent."""

    class_il: float
    task_il: float
    forgetting: float | None
    accuracy_matrix: tuple[tuple[float | None, ...], ...]
    training_flops: Mapping[str, float]
    training_seconds: float
    sparsity: Sparsity
    config: Config
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A run: its result, or the line of its failure; neither where it has not ended.

    Attributes:
        churn: the share of the weights kept at the end that the first masks did not keep, by masked weight.
    """

    name: str
    failure: str | None
    result: Result | None
    churn: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether it has been learned, or has failed."""
        return self.result is not None or self.failure is not None


class Results:
    """The files of a grid's results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder.absolute() / "work"

    def file(self, name: str) -> Path:
        """The file of a run."""
        return self.folder / "runs" / f"{name}.json"

    def has(self, name: str) -> bool:
        """Whether a run has ended."""
        return self.file(name).exists()

    def read(self, name: str) -> Outcome:
        """The outcome of a run.

        Raises:
            GridError: its file cannot be read or is damaged.
        """
        path = self.file(name)
        with readable(path, GridError, plain=True):
            content = path.read_bytes()
        try:
            return msgspec.json.decode(content, type=Outcome)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise GridError(f"{path}: is damaged ({error}); remove it, and the run is made again") from error

    def read_all(self, jobs: Iterable[Job]) -> tuple[Outcome, ...]:
        """The outcomes of runs, in their order; raises GridError."""
        return tuple(self.read(job.name) for job in jobs)

    def look(self, jobs: Iterable[Job]) -> tuple[Outcome, ...]:
        """The outcomes of runs, in their order, some of which may not have ended; raises GridError."""
        return tuple(self.read(job.name) if self.has(job.name) else Outcome(job.name, None, None) for job in jobs)

    def write(self, outcome: Mapping[str, Any]) -> None:
        """Write the outcome of a run and remove its state; raises WriteError."""
        write_text(self.file(outcome["name"]), json.dumps(outcome, indent=1) + "\n")
        shutil.rmtree(self.work / outcome["name"], ignore_errors=True)

    def tidy(self) -> None:
        """Remove the folder of the states where no run is on its way."""
        with contextlib.suppress(OSError):
            self.work.rmdir()
