"""The recorded points of a run, a line of JSON each, in a file beside its checkpoint."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sparcl_compile.interface.codec import from_plain, plain
from sparcl_compile.interface.errors import CheckpointError
from sparcl_compile.interface.files import readable, told, write_text
from sparcl_compile.runtime.reporting.json_ready import json_ready
from sparcl_compile.runtime.reporting.points import EpochPoint, TaskPoint

FILE = "history.jsonl"
RESULT = "result"
KINDS: Mapping[str, type[EpochPoint] | type[TaskPoint]] = {"epoch": EpochPoint, "task": TaskPoint}


@dataclasses.dataclass(frozen=True)
class History:
    """The recorded points of a run.

    Attributes:
        epochs: in their order; from where recording began.
        tasks: the same, the state before training first.
        result: of the finished run, as ``sparcl-run --json`` writes it; None before its end.
    """

    epochs: tuple[EpochPoint, ...]
    tasks: tuple[TaskPoint, ...]
    result: Mapping[str, Any] | None = None


class HistoryFile:
    """Records a run in its checkpoint folder.

    A line that a killed process has not finished is no line. What lies beyond the epoch from which a run goes on is
    taken out when it begins.

    Args:
        folder: the checkpoint folder, which is there when the run begins.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def begin(self, start: TaskPoint, epochs_done: int) -> None:
        """Keep the lines up to here; without any the run is recorded from here."""
        kept = _kept(self.path, epochs_done) if epochs_done and self.path.is_file() else []
        write_text(self.path, "".join(kept or [_line("task", start)]))

    def epoch(self, point: EpochPoint) -> None:
        """Add the line of an epoch."""
        self._add(_line("epoch", point))

    def task(self, point: TaskPoint) -> None:
        """Add the line of a task."""
        self._add(_line("task", point))

    def end(self, result: Mapping[str, Any]) -> None:
        """Add the result of the run, which is then finished."""
        self._add(json.dumps({RESULT: json_ready(result)}, allow_nan=False) + "\n")

    def _add(self, line: str) -> None:
        with told(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(line)


def _line(kind: str, point: EpochPoint | TaskPoint) -> str:
    return json.dumps({kind: plain(point)}) + "\n"


def _kept(path: Path, epochs_done: int) -> list[str]:
    return [line for line, kind, one in _lines(path) if kind != RESULT and one.epochs_done <= epochs_done]


def read_history(folder: Path) -> History:
    """Read what was recorded of the run in a checkpoint folder.

    Raises:
        CheckpointError: nothing was recorded, or the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise CheckpointError(f"{folder}: holds no recorded run; learn it with sparcl-run --report FILE")
    found: dict[str, list[Any]] = {"epoch": [], "task": [], RESULT: []}
    for _, kind, one in _lines(path):
        found[kind].append(one)
    return History(tuple(found["epoch"]), tuple(found["task"]), found[RESULT][-1] if found[RESULT] else None)


def _lines(path: Path) -> Iterator[tuple[str, str, Any]]:
    """The finished lines with their kinds and contents."""
    try:
        with readable(path, CheckpointError, plain=True):
            text = path.read_text(encoding="utf-8")
        for line in (line for line in text.splitlines(keepends=True) if line.endswith("\n")):
            yield line, *_parsed(line)
    except (ValueError, LookupError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: is damaged; remove it, the run itself does not need it") from error


def _parsed(line: str) -> tuple[str, Any]:
    ((kind, content),) = json.loads(line).items()
    return kind, content if kind == RESULT else from_plain(KINDS[kind], content)
