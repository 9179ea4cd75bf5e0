"""The table of the comparison: a row for each artifact in each runtime."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.parity.compare import LIMIT, POINTS, Difference, GraphDifference


@dataclasses.dataclass(frozen=True)
class Row:
    """One artifact in one runtime.

    Attributes:
        form: of the artifact.
        runtime: its name.
        version: of ONNX Runtime.
        python: that it ran in; empty for the runtimes of other languages.
        equal: whether orders, buffer rows, removed samples and masks are, and bits where they are promised; null where
            not run.
        loss_difference: the largest one of a step's loss; null where not run.
        class_il: the final accuracy in percent; null where the run was not made to its end.
        steps: how many were compared.
        graphs: how many were run by themselves, and held to their promise.
        bits: how many of them gave the reference's bits.
        note: why something was not run, or what is not equal.
    """

    form: str
    runtime: str
    version: str
    python: str = ""
    equal: bool | None = None
    loss_difference: float | None = None
    class_il: float | None = None
    steps: int = 0
    graphs: int = 0
    bits: int = 0
    note: str = ""


def made(row: Row, difference: Difference, graphs: Sequence[GraphDifference], class_il: float | None) -> Row:
    """The row with what was found."""
    broken = [f"{one.graph} differs by {one.largest:.1e}" for one in graphs if not one.fine]
    return dataclasses.replace(
        row,
        equal=not difference.unequal and not broken,
        loss_difference=difference.loss,
        class_il=class_il,
        steps=difference.steps,
        graphs=len(graphs),
        bits=sum(one.bits for one in graphs),
        note="; ".join(filter(None, (row.note, difference.unequal, *broken))),
    )


def fine(row: Row, wanted: float) -> bool:
    """Whether a row that was run keeps the promise; ``wanted`` is the final accuracy that it is held against."""
    if row.equal is None or row.loss_difference is None:
        return True
    close = row.class_il is None or abs(row.class_il - wanted) <= POINTS
    return row.equal and row.loss_difference <= LIMIT and close


def table(rows: Sequence[Row]) -> Table:
    """The table to print."""
    shown = Table(box=None, pad_edge=False)
    for name in ("artifact", "runtime", "version"):
        shown.add_column(name)
    for name in ("equal", "graphs, same bits", "steps", "loss differs by", "class-IL %"):
        shown.add_column(name, justify="right")
    shown.add_column("note", max_width=60)
    for row in rows:
        shown.add_row(*_cells(row))
    return shown


def _cells(row: Row) -> list[str]:
    version = f"{row.version}, Python {row.python}" if row.python else row.version
    if row.equal is None:
        return [row.form, row.runtime, version, "not run", "", "", "", "", row.note]
    number = "-" if row.class_il is None else f"{row.class_il:.2f}"
    graphs = f"{row.graphs}, {row.bits}" if row.graphs else "-"
    counts = (graphs, str(row.steps), f"{row.loss_difference:.1e}")
    return [row.form, row.runtime, version, "yes" if row.equal else "NO", *counts, number, row.note]


def show(rows: Sequence[Row]) -> None:
    """Print the table, however narrow the terminal is."""
    Console(width=180).print(table(rows))


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as JSON, which has no NaN: null stands for it."""
    plain = [
        {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}
        for row in map(dataclasses.asdict, rows)
    ]
    path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
