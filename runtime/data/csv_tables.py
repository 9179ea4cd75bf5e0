"""CSV tables: one row a sample, its label and its numbers separated by commas, semicolons or tabs (RFC 4180)."""

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from sparcl_compile.interface.errors import DataError
from sparcl_compile.interface.files import check_plain
from sparcl_compile.interface.manifest import Model
from sparcl_compile.runtime.data import columns
from sparcl_compile.runtime.data.checks import one_line
from sparcl_compile.runtime.data.columns import LABELS, MOST_VALUES, Part, Roles, naming
from sparcl_compile.runtime.data.dataset import Dataset

SUFFIX = ".csv"
DELIMITERS = (",", ";", "\t")
QUOTED = re.compile(r'"[^"]*"')
LONGEST_LINE = 2**24
"""Characters; a file without line ends would be read at once."""
CHUNK = 4096
"""Rows that are lists of Python's numbers before they become an array."""
UNNAMED = (
    "the last column was taken for the label; give a first row with names, and call another column label if it is that"
)
SHOWN = 20
"""Characters of a cell in a message."""

Row = tuple[int, list[str]]
"""The number of the line that a row ends in, and its cells."""


def load(source: str, path: Path, model: Model | None = None) -> Dataset:
    """Read a .csv file, or a folder with train.csv and test.csv; see ``columns`` for what the columns are.

    The first row has the names of the columns; a table without one begins with numbers and has its label last. Text is
    UTF-8, with a byte order mark or without; a decimal is written with a point.

    Raises:
        DataError: no table, or a cell is no number; the message names line and column.
        OSError: a file cannot be read.
    """
    return columns.load(source, path, model, SUFFIX, read)


def read(what: str, path: Path) -> Part:
    """Read one file, which messages call ``what``; raises DataError and OSError."""
    check_plain(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parsed(what, file)
    except UnicodeError as error:
        raise DataError(f"{what}: is no text in UTF-8; save it as CSV in UTF-8") from error


def _parsed(what: str, file: TextIO) -> Part:
    rows = _rows(what, file)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{what}: holds no rows; give a first row with names and a row for each sample")
    names, notes, rest = _headed(first, rows)
    found = columns.roles(what, names)
    guess = UNNAMED if notes else found.guess
    labels: list[str] = []
    parts: list[str] = []
    blocks: list[np.ndarray] = []
    while chunk := list(itertools.islice(rest, CHUNK)):
        _check_lengths(what, names, chunk)
        with naming(guess):
            labels += _texts(what, names, chunk, found.label)
            parts += [] if found.split is None else _texts(what, names, chunk, found.split)
            blocks.append(_numbers(what, names, chunk, found))
        if len(labels) * len(names) > MOST_VALUES:
            raise DataError(f"{what}: holds more than {MOST_VALUES} values; give fewer rows")
    if not blocks:
        raise DataError(f"{what}: holds the names of columns and no rows; give a row for each sample")
    own = tuple(names[place] for place in found.features)
    split = None if found.split is None else parts
    return Part(own, np.concatenate(blocks), labels, split, (*notes, *found.notes), guess)


def _rows(what: str, file: TextIO) -> Iterator[Row]:
    """Yield the rows that are not empty; raises DataError for quotes without an end and the like."""
    lines = _lines(what, file)
    head = list(_until_text(lines))
    delimiter = _delimiter(head[-1]) if head else ","
    reader = csv.reader(itertools.chain(head, lines), delimiter=delimiter, strict=True, skipinitialspace=True)
    stripped = ([cell.strip() for cell in cells] for cells in reader)
    try:
        for cells in filter(any, stripped):
            yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(f"{what}: line {reader.line_num} is no CSV ({one_line(error)}); mend its quotes") from error


def _lines(what: str, file: TextIO) -> Iterator[str]:
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE:
            raise DataError(f"{what}: line {number} has more than {LONGEST_LINE - 1} characters; put a row on a line")
        yield line


def _until_text(lines: Iterator[str]) -> Iterator[str]:
    """Yield the empty lines in front, and the first that is not."""
    for line in lines:
        yield line
        if line.strip():
            return


def _delimiter(line: str) -> str:
    """The delimiter that is most often in a line, outside of quotes."""
    bare = QUOTED.sub("", line)
    return max(DELIMITERS, key=bare.count)


def _headed(first: Row, rows: Iterator[Row]) -> tuple[list[str], tuple[str, ...], Iterator[Row]]:
    """The names of the columns, a note where there are none, and the rows with samples."""
    cells = first[1]
    numbers = [_is_number(cell) for cell in cells]
    if len(cells) < 2 or not all(numbers[:-1]) or cells[-1].lower() in LABELS:
        return cells, (), rows
    names = [f"column {place}" for place in range(1, len(cells))]
    note = "the first row holds numbers, so the columns have no names and the last one is the label"
    return [*names, LABELS[0]], (note,), itertools.chain([first], rows)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_finite(cell: str) -> bool:
    with np.errstate(over="ignore"):
        return _is_number(cell) and bool(np.isfinite(np.float64(cell).astype(np.float32)))


def _check_lengths(what: str, names: Sequence[str], rows: Sequence[Row]) -> None:
    for line, cells in rows:
        if len(cells) != len(names):
            raise DataError(
                f"{what}: line {line} has {len(cells)} cells for {len(names)} columns; give each row one cell a column"
            )


def _texts(what: str, names: Sequence[str], rows: Sequence[Row], place: int) -> list[str]:
    for line, cells in rows:
        if not cells[place]:
            raise DataError(f"{what}: line {line}, column {names[place]!r} is empty; fill it or remove the row")
    return [cells[place] for _, cells in rows]


def _numbers(what: str, names: Sequence[str], rows: Sequence[Row], found: Roles) -> np.ndarray:
    """The features of some rows, float32 [N, D]; raises DataError for a cell that is no finite number in float32."""
    try:
        wide = np.array([[float(cells[place]) for place in found.features] for _, cells in rows])
    except ValueError as error:
        raise _fault(what, names, rows, found) from error
    with np.errstate(over="ignore"):  # beyond float32's range a value becomes infinite and is refused below
        x = wide.astype(np.float32)
    if not np.isfinite(x).all():
        raise _fault(what, names, rows, found)
    return x


def _fault(what: str, names: Sequence[str], rows: Sequence[Row], found: Roles) -> DataError:
    """The error of the first cell that is no finite number."""
    line, place, cell = next(
        (line, place, cells[place]) for line, cells in rows for place in found.features if not _is_finite(cells[place])
    )
    where = f"{what}: line {line}, column {names[place]!r}"
    if not cell:
        return DataError(f"{where} is empty; fill it or remove the row")
    shown = cell if len(cell) <= SHOWN else f"{cell[:SHOWN]}..."
    if _is_number(cell):
        return DataError(f"{where} is {shown!r}, not finite in float32; replace it or remove the row")
    mend = "write decimals with a point" if _is_number(cell.replace(",", ".")) else "mend it or remove the column"
    return DataError(f"{where} is {shown!r}, no number; {mend}")
