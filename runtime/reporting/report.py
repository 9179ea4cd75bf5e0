"""Prints the result of a run as tables and writes it as JSON. It imports no compiler, which a device lacks."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sparcl_compile.interface.files import write_text
from sparcl_compile.runtime.reporting.json_ready import json_ready

Matrix = Sequence[Sequence[float | None]]

PLAIN_WIDTH = 200

MATRICES = (
    ("accuracy_matrix", "Class-incremental accuracy in %"),
    ("task_accuracy_matrix", "Task-incremental accuracy in %"),
)
"""Keys of the result with their labels."""

SCALARS = (
    ("class_il", "class-incremental accuracy", "{:.1f} %"),
    ("task_il", "task-incremental accuracy", "{:.1f} %"),
    ("learning_accuracy", "accuracy right after learning", "{:.1f} %"),
    ("forgetting", "forgetting", "{:.1f}"),
    ("backward_transfer", "backward transfer", "{:+z.1f}"),
    ("sparsity", "weight sparsity", "{:.3f}"),
    ("gradient_sparsity", "gradient sparsity", "{:.3f}"),
    ("samples_seen", "samples seen", "{:,.0f}"),
    ("samples_replayed", "samples replayed", "{:,.0f}"),
    ("samples_removed", "samples removed", "{:,.0f}"),
    ("training_flops", "training FLOPs", "{:.3g}"),
    ("samples_per_second", "samples/s", "{:,.1f}"),
    ("training_seconds", "training seconds", "{:,.1f}"),
    ("seed", "seed", "{:.0f}"),
)
"""Keys of the result with their labels and number formats."""


def console(file: IO[str] | None = None) -> Console:
    """A console as wide as the terminal; without a terminal it is wide enough not to fold a line."""
    made = Console(file=file, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = max(made.width, PLAIN_WIDTH)
    return made


def write_json(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result as JSON; a number that is not finite becomes null, which every reader of JSON takes.

    Raises:
        WriteError: the file system refuses; no partial file stays.
    """
    write_text(path, json.dumps(json_ready(result), indent=1, allow_nan=False) + "\n")


def result_table(result: Mapping[str, Any]) -> Table:
    """The final table of a run, without borders: the accuracies after each task, then one line a number.

    Args:
        result: what a run writes as JSON. An accuracy matrix has a row for after each task, a column for each task, in
            %, and None where nothing was measured. A number may also be a mapping of names to numbers, such as
            ``training_flops``; what is nested deeper (per layer) and a key that is absent are left out.
    """
    whole = Table.grid()
    for key, title in MATRICES:
        if key in result:
            whole.add_row(Text(title, style="bold"))
            whole.add_row(accuracy_table(result[key]))
            whole.add_row("")
    if any(key in result for key, _, _ in SCALARS):
        whole.add_row(Text("Result", style="bold"))
        whole.add_row(scalar_table(result))
    return whole


def accuracy_table(matrix: Matrix) -> Table:
    """Accuracy in % on every task so far (columns) after each task (rows), and its mean over the tasks seen."""
    made = _borderless()
    made.add_column("after task")
    for task in range(max((len(row) for row in matrix), default=0)):
        made.add_column(f"task {task + 1}", justify="right", no_wrap=True)
    made.add_column("mean", justify="right", no_wrap=True)
    for index, row in enumerate(matrix):
        seen = [value for value in row[: index + 1] if value is not None and not math.isnan(value)]
        mean = sum(seen) / len(seen) if seen else None
        blank = [None] * (max(len(r) for r in matrix) - len(row))
        made.add_row(str(index + 1), *(_percent(value) for value in (*row, *blank, mean)))
    return made


def scalar_table(result: Mapping[str, Any]) -> Table:
    """The single numbers of a result, one a line; a mapping of numbers takes one line an entry."""
    made = _borderless(show_header=False)
    made.add_column("")
    made.add_column("", justify="right", no_wrap=True)
    for key, label, form in SCALARS:
        for part, value in _numbers(result.get(key)):
            made.add_row(Text(f"{label}, {part}" if part else label), form.format(value))
    return made


def _numbers(value: object) -> list[tuple[str, float]]:
    if isinstance(value, Mapping):
        return [(str(name).replace("_", " "), n) for name, n in value.items() if _is_number(n)]
    return [("", float(value))] if isinstance(value, int | float) and _is_number(value) else []


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _percent(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.1f}"


def _borderless(show_header: bool = True) -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=show_header)
