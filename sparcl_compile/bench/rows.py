"""The rows of a grid's file: a list of values makes a line of the table for each of them."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sparcl_compile.bench.grid import Cell
from sparcl_compile.bench.settings import (
    COMPILE,
    RATE,
    RUN,
    Option,
    compile_options,
    named,
    option_of,
    run_config,
)
from sparcl_compile.bench.toml_file import Keys, TomlFile, shown
from sparcl_compile.interface.errors import FieldError, GridError

ROW = ("models", "data", "compile", "run")
ONLY_ROW = "defaults"
"""The name of the row of a grid that names none."""
PARTS: Mapping[str, Mapping[str, Option]] = {
    "compile": COMPILE,
    "run": {**RUN, RATE: Option("learning_rate", float, "a number")},
}
"""The tables with options, in the file and in each row."""


@dataclasses.dataclass(frozen=True)
class Axis:
    """An option with its values, and the place that gave it."""

    keys: Keys
    values: tuple[Any, ...]

    @property
    def name(self) -> str:
        """The option."""
        return self.keys[-1]


def read_cells(file: TomlFile, models: Mapping[str, str], data: Mapping[str, str]) -> Iterator[Cell]:
    """The lines of the table, in the order of the file.

    Raises:
        GridError: a row has an unknown key, or a value that cannot be.
    """
    rows = file.as_kind(("rows",), file.values.get("rows", {ONLY_ROW: {}}), dict[str, Any], "a table")
    if not rows:
        file.refuse(("rows",), "is empty; give a table [rows.NAME] for each row, or leave it out")
    cells = {name: list(_read_row(file, name, row, models, data)) for name, row in rows.items()}
    _check_rates(file, cells)
    return itertools.chain.from_iterable(cells.values())


def _read_row(
    file: TomlFile, name: str, value: object, models: Mapping[str, str], data: Mapping[str, str]
) -> Iterator[Cell]:
    keys = ("rows", name)
    row = file.table(keys, value, ROW)
    chosen = (_names(file, (*keys, key), row, known) for key, known in (("models", models), ("data", data)))
    compiling, running = (_axes(file, keys, row, part) for part in PARTS)
    for model, source in itertools.product(*chosen):
        yield from _combinations(file, Cell(name, model, source, {}, {}, ()), compiling, running)


def _names(file: TomlFile, keys: Keys, row: Mapping[str, Any], known: Mapping[str, str]) -> tuple[str, ...]:
    """The models or data of a row; all where it names none."""
    names = file.as_kind(keys, row.get(keys[-1], list(known)), tuple[str, ...], "a list of names")
    if not names or not set(names) <= set(known):
        file.refuse(keys, f"is {list(names)}; give a list of names from {', '.join(known)}")
    return names


def _axes(file: TomlFile, keys: Keys, row: Mapping[str, Any], part: str) -> dict[str, Axis]:
    """The options of a row; its own values stand before those of all rows."""
    found: dict[str, Axis] = {}
    for place, table in (((part,), file.values.get(part, {})), ((*keys, part), row.get(part, {}))):
        values = file.table(place, table, PARTS[part])
        found |= {name: _axis(file, (*place, name), value, PARTS[part][name]) for name, value in values.items()}
    return found


def _axis(file: TomlFile, keys: Keys, value: object, option: Option) -> Axis:
    if option.field == "learning_rate" and isinstance(value, str):
        return Axis(keys, (value,))  # the name of a row
    if not isinstance(value, list) or option.is_list:
        return Axis(keys, (file.as_kind(keys, value, option.kind, option.wanted),))
    wanted = f"{option.wanted}, or a list of such"
    values = tuple(file.as_kind(keys, one, option.kind, wanted) for one in value)
    if not values or len(set(values)) < len(values):
        file.refuse(keys, f"is {shown(value)}; give at least one value, and each once")
    return Axis(keys, values)


def _combinations(
    file: TomlFile, cell: Cell, compiling: Mapping[str, Axis], running: Mapping[str, Axis]
) -> Iterator[Cell]:
    """The cell with every combination of the values; the options with several values are in its name."""
    given = running[RATE].values if RATE in running else ()
    rate_of = next((one for one in given if isinstance(one, str)), "")
    several = [*compiling.values(), *(axis for name, axis in running.items() if name != RATE)]
    for values in itertools.product(*(axis.values for axis in several)):
        pairs = [(axis.name, value) for axis, value in zip(several, values, strict=True)]
        told = [f"{name} {value}" for (name, value), axis in zip(pairs, several, strict=True) if len(axis.values) > 1]
        made = dataclasses.replace(
            cell,
            row=", ".join([cell.row, *told]),
            compiling=dict(pairs[: len(compiling)]),
            running=dict(pairs[len(compiling) :]),
            rates=() if rate_of else given,
            rate_of=rate_of,
        )
        _check(file, made, {**running, **compiling})
        yield made


def _check_rates(file: TomlFile, rows: Mapping[str, Sequence[Cell]]) -> None:
    """Refuse a rate of a line of the table that is not there once, or that has none of its own."""
    own = [cell.row for cells in rows.values() for cell in cells if not cell.rate_of]
    wanted = f"a number, a list of such, or one of the rows with a rate of their own: {', '.join(own)}"
    for name, cells in rows.items():
        for cell in cells:
            if cell.rate_of and own.count(cell.rate_of) != 1:
                file.refuse(("rows", name, "run", RATE), f"is {shown(cell.rate_of)}; give {wanted}")


def _check(file: TomlFile, cell: Cell, axes: Mapping[str, Axis]) -> None:
    """Refuse values out of their range, with the line that gives them."""
    try:
        compile_options(cell.compiling, seed=0)
        for rate in cell.rates or (None,):
            run_config(cell.running, cell.data, rate, seed=0, threads=1)
    except FieldError as error:
        option = option_of(error)
        keys = axes[option].keys if option in axes else ("rows", cell.row)
        raise GridError(f"{file.place(keys)}: {named(error)}") from error
