"""The rows of a grid's file: a list of values makes a line of the table for each of them."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sparcl_compile.bench.grid import Cell, givers
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
    """Refuse the name of a row whose rate a line cannot take."""
    cells = list(itertools.chain.from_iterable(rows.values()))
    taking = [(name, cell) for name, own in rows.items() for cell in own if cell.rate_of]
    for name, cell in taking:
        if fault := _fault_of_taken(cell, cells):
            file.refuse(_given(file, name), f"is {shown(cell.rate_of)}{fault}")


def _given(file: TomlFile, row: str) -> Keys:
    """The keys below which the rate of a row stands: its own, or that of all rows."""
    own = file.values.get("rows", {}).get(row, {}).get("run", {})
    return ("rows", row, "run", RATE) if RATE in own else ("run", RATE)


def _fault_of_taken(cell: Cell, cells: Sequence[Cell]) -> str:
    """The reason why a line cannot take the rate of the row that it names, and the mend; empty where it can."""
    named = [one for one in cells if one.row == cell.rate_of and not one.rate_of]
    if not named:
        known = ", ".join(dict.fromkeys(one.row for one in cells if one.rates)) or "there is none yet"
        return f"; give a number, a list of such, or one of the rows with a rate of their own: {known}"
    if not all(one.rates for one in named):
        return f", a row without rates of its own; give that row some, as in {RATE} = [0.1, 0.3]"
    found, mend = givers(cell, cells), f"there, or give this row its own {RATE}"
    if len(found) > 1:
        return ", the name of several lines of the table; give each row another name"
    if not found and all(one.data != cell.data for one in named):
        return f", a row without the data {cell.data}; add them {mend}"
    return "" if found else f", a row of several models without {cell.model}; add it {mend}"


def _check(file: TomlFile, cell: Cell, axes: Mapping[str, Axis]) -> None:
    """Refuse values out of their range, with the line that gives them."""
    try:
        compile_options(cell.compiling, seed=0)
        for rate in cell.rates or (None,):
            run_config(cell.running, cell.data, rate, seed=0, threads=1)
    except FieldError as error:
        option = option_of(error)
        keys = axes[option].keys if option in axes else ("rows", cell.row)
        raise GridError(f"{file.place(keys)}: {named(error.message)}") from error
