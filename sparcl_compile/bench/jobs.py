"""The runs of a grid, each with a name that tells its settings."""

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, Message

from sparcl_compile.bench.grid import Cell, Grid
from sparcl_compile.bench.settings import absolute, epochs_of
from sparcl_compile.interface.files import sha256

NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9.+-]+")
MOST_WORDS = 220
"""Characters of a name in front of its checksum: file systems take 255, some of which the file needs while it is
written. What is cut off is in the checksum as well, but for the names of the row, the model and the data.
"""


@dataclasses.dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        name: of its files: its settings in words, and eight digits of a checksum over all of them.
        cell: the line of the table that it belongs to; a trial's may have other epochs.
        seed: of weights, order and replay.
        rate: the learning rate; None for the artifact's own.
        trial: whether held-out training samples stand in the place of the test set.
        model: the file.
        source: the data, from wherever a worker stands.
        planned_epochs: those of the run that a trial of other epochs chooses for, where no option names its batches,
            which are to be as large as that run's; else None.
    """

    name: str
    cell: Cell
    seed: int
    rate: float | None
    trial: bool
    model: Path
    source: str
    planned_epochs: int | None = None


class Jobs:
    """Makes the runs of a grid; the models' checksums are taken once."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._models = {name: path.absolute() for name, path in grid.models.items()}
        self._checksums = {name: checksum(path) for name, path in self._models.items()}

    def trials(self, cell: Cell) -> dict[float, list[Job]]:
        """The runs by which a cell's rate is chosen, by rate; none where it names fewer than two."""
        epochs = self._grid.choose.epochs
        running = cell.running if epochs is None else {**cell.running, "epochs": epochs}
        tried = dataclasses.replace(cell, running=running)
        rates = cell.rates if len(cell.rates) > 1 else ()
        others = "batch-size" not in cell.running and epochs not in (None, epochs_of(cell.running))
        planned = epochs_of(cell.running) if others else None
        return {
            rate: [self._job(tried, rate, seed, True, planned) for seed in self._grid.choose.seeds] for rate in rates
        }

    def finals(self, cell: Cell, rate: float | None) -> list[Job]:
        """The runs of a cell under its rate, in the order of the seeds."""
        return [self._job(cell, rate, seed, False) for seed in self._grid.seeds]

    def _job(self, cell: Cell, rate: float | None, seed: int, trial: bool, planned: int | None = None) -> Job:
        source = self._grid.data[cell.data]
        settings = {
            "model": self._checksums[cell.model],
            "data": source,
            "compile": cell.compiling,
            "run": cell.running,
            "rate": rate,
            "seed": seed,
            "trial": trial,
        }
        if planned is not None:
            settings["planned_epochs"] = planned
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
        told = (cell.row, cell.model, cell.data, "trial" if trial else "", _rate_text(rate), f"seed{seed}")
        words = "_".join(NOT_IN_NAMES.sub("-", part).strip("-") for part in told if part)
        name = f"{words[:MOST_WORDS]}_{digest}"
        return Job(name, cell, seed, rate, trial, self._models[cell.model], absolute(source), planned)


def checksum(path: Path) -> str:
    """A checksum over a model's bytes, and over those of the files that hold its weights where such are beside it."""
    own = sha256(path)
    try:
        names = set(_locations(onnx.load_model_from_string(path.read_bytes())))
    except (DecodeError, ValueError, TypeError):
        return own  # no model, which its compilation says
    beside = [path.parent / name for name in sorted(names)]
    parts = [own, *(sha256(one) for one in beside if one.is_file())]
    return own if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()


def _locations(message: Message) -> Iterator[str]:
    """The files in which tensors lie that a message holds, wherever in it."""
    if isinstance(message, onnx.TensorProto):
        yield from (each.value for each in message.external_data if each.key == "location")
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            inner = (value,) if isinstance(value, Message) else value
            yield from itertools.chain.from_iterable(map(_locations, inner))


def _rate_text(rate: float | None) -> str:
    return "" if rate is None else f"lr{rate:g}"
