"""A grid of runs: models, data, seeds, the choice of learning rates, and the lines of its table (docs/bench.md)."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from sparcl_compile.bench.settings import Values


@dataclasses.dataclass(frozen=True)
class Choose:
    """The trial runs by which a rate is chosen: their epochs a task (None: those of the row) and their seeds."""

    epochs: int | None
    seeds: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One line of the table: a model, data and options, which every seed learns.

    Attributes:
        row: its name.
        model: the name of the model.
        data: the name of the data.
        compiling: options of sparcl-compile by their names.
        running: options of sparcl-run by their names.
        rates: the learning rates to choose from; without any the artifact's own.
        rate_of: the row whose rate it takes, which has trials of its own; empty where it takes none.
    """

    row: str
    model: str
    data: str
    compiling: Values
    running: Values
    rates: tuple[float, ...]
    rate_of: str = ""


def givers(cell: Cell, cells: Sequence[Cell]) -> list[Cell]:
    """The lines whose rate a line takes, one in a grid that is sound: of the row that it names.

    They have its data, and its model where that row has several; the rate of a row of one model is for all.
    """
    named = [one for one in cells if one.row == cell.rate_of and not one.rate_of]
    only_model = len({one.model for one in named}) == 1
    return [one for one in named if one.data == cell.data and (only_model or one.model == cell.model)]


@dataclasses.dataclass(frozen=True)
class Grid:
    """A grid: the models' files and the data's sources by their names, the seeds, the choice of rates, the cells."""

    models: Mapping[str, Path]
    data: Mapping[str, str]
    seeds: tuple[int, ...]
    choose: Choose
    cells: tuple[Cell, ...]
