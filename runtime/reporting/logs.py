"""The curves of a run in a folder: CSV tables, and TensorBoard events where tensorboardX is installed."""

import csv
import importlib.util
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sparcl_compile.interface.errors import WriteError
from sparcl_compile.interface.files import readable, told, write_text
from sparcl_compile.runtime.reporting.points import EpochPoint, TaskPoint

WRITER = "tensorboardX"
NO_EVENTS = f"{WRITER} is not installed: CSV tables alone are written; for TensorBoard events, pip install {WRITER}"
EPOCH_COLUMNS = (
    "epochs_done",
    "task",
    "epoch",
    "step",
    "loss",
    "learning_rate",
    "sparsity",
    "samples_seen",
    "samples_replayed",
    "samples_removed",
    "seconds",
)
LAYER_COLUMNS = ("epochs_done", "task", "epoch", "layer", "sparsity", "churn")
TASK_COLUMNS = ("epochs_done", "after_task", "on_task", "class_accuracy", "task_accuracy")
TABLES: Mapping[str, Sequence[str]] = {
    "epochs.csv": EPOCH_COLUMNS,
    "layers.csv": LAYER_COLUMNS,
    "tasks.csv": TASK_COLUMNS,
}
"""The columns of each file; the first one says how far the run was."""
Row = Sequence[object]


def can_write_events() -> bool:
    """Whether TensorBoard's events can be written."""
    return importlib.util.find_spec(WRITER) is not None


class CsvLog:
    """Writes a row an epoch, a row an epoch and layer, and a row a task learned and task tested.

    Args:
        folder: of the tables; made when the run begins.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, start: TaskPoint, epochs_done: int) -> None:
        """Keep the rows up to here; a run from its start begins the tables anew."""
        for name, columns in TABLES.items():
            path = self._folder / name
            rows = [row for row in _rows(path) if int(row[0]) <= epochs_done] if epochs_done else []
            write_text(path, _text([columns, *rows]))

    def epoch(self, point: EpochPoint) -> None:
        """Add the rows of an epoch."""
        self._add("epochs.csv", [[getattr(point, column) for column in EPOCH_COLUMNS]])
        head = (point.epochs_done, point.task, point.epoch)
        self._add("layers.csv", [[*head, name, one.sparsity, one.churn] for name, one in point.layers.items()])

    def task(self, point: TaskPoint) -> None:
        """Add the rows of a task."""
        pairs = zip(point.class_accuracies, point.task_accuracies, strict=True)
        rows = [[point.epochs_done, point.task, on, *pair] for on, pair in enumerate(pairs, start=1)]
        self._add("tasks.csv", rows)

    def _add(self, name: str, rows: Sequence[Row]) -> None:
        path = self._folder / name
        with told(path), path.open("a", encoding="utf-8", newline="") as file:
            file.write(_text(rows))


def _text(rows: Sequence[Row]) -> str:
    made = io.StringIO(newline="")
    csv.writer(made, lineterminator="\n").writerows(rows)
    return made.getvalue()


def _rows(path: Path) -> list[list[str]]:
    """The whole rows of a table below its head; a last one that a killed process left unfinished is none."""
    if not path.is_file():
        return []
    with readable(path, WriteError, plain=True):
        text = path.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    return [row for row in list(csv.reader(io.StringIO(whole)))[1:] if row and row[0].isdecimal()]


class EventLog:
    """Writes TensorBoard's events; the axis is the number of optimizer steps.

    Args:
        folder: of the event files; made when the run begins.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def begin(self, start: TaskPoint, epochs_done: int) -> None:
        """Open a file; what an earlier one holds beyond this step is void for TensorBoard."""
        from tensorboardX import SummaryWriter

        with told(self._folder):
            self._writer = SummaryWriter(str(self._folder), purge_step=start.step + 1 if epochs_done else 0)

    def epoch(self, point: EpochPoint) -> None:
        """Add the numbers of an epoch."""
        self._add(dict(_epoch_scalars(point)), point.step)

    def task(self, point: TaskPoint) -> None:
        """Add the accuracies after a task."""
        self._add(dict(_task_scalars(point)), point.step)

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()

    def _add(self, scalars: Mapping[str, float], step: int) -> None:
        with told(self._folder):
            for tag, value in scalars.items():
                self._writer.add_scalar(tag, value, step)
            self._writer.flush()


def _epoch_scalars(point: EpochPoint) -> Iterator[tuple[str, float]]:
    yield "train/loss", point.loss
    yield "train/learning_rate", point.learning_rate
    yield "train/samples_removed", point.samples_removed
    yield "sparsity/all", point.sparsity
    for name, layer in point.layers.items():
        yield f"sparsity/{name}", layer.sparsity
        yield f"churn/{name}", layer.churn


def _task_scalars(point: TaskPoint) -> Iterator[tuple[str, float]]:
    for kind, row in (("class_il", point.class_accuracies), ("task_il", point.task_accuracies)):
        yield f"{kind}/mean", sum(row) / len(row)
        yield from ((f"{kind}/task_{number}", value) for number, value in enumerate(row, start=1))
