"""Parquet tables: one row a sample, its label and its numbers. pyarrow reads them (the extra ``parquet``)."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sparcl_compile.interface.errors import DataError
from sparcl_compile.interface.files import check_plain
from sparcl_compile.interface.manifest import Model
from sparcl_compile.runtime.data import columns
from sparcl_compile.runtime.data.checks import one_line
from sparcl_compile.runtime.data.columns import MOST_VALUES, Part
from sparcl_compile.runtime.data.dataset import Dataset

SUFFIX = ".parquet"


def load(source: str, path: Path, model: Model | None = None) -> Dataset:
    """Read a .parquet file, or a folder with train.parquet and test.parquet; see ``columns`` for the columns.

    Raises:
        DataError: pyarrow is not installed, no Parquet file, or a column holds no numbers; the message names row and
            column.
        OSError: a file cannot be read.
    """
    try:
        # Here and not above: it is an optional dependency.
        import pyarrow.parquet  # noqa: F401 - looked for before a file is opened
    except ImportError as error:
        raise DataError(
            f"{source}: pyarrow is not installed; pip install pyarrow, or save the table as CSV and give csv:FILE"
        ) from error
    return columns.load(source, path, model, SUFFIX, read)


@dataclasses.dataclass(frozen=True)
class _Column:
    """A column of a table, and how messages call it."""

    what: str
    name: str
    cells: Any

    def fault(self, row: int, problem: str, mend: str) -> DataError:
        """The error of a row, counted from 0."""
        return DataError(f"{self.what}: row {row + 1}, column {self.name!r} {problem}; {mend}")


def read(what: str, path: Path) -> Part:
    """Read one file, which messages call ``what``; raises DataError and OSError."""
    check_plain(path)
    with path.open("rb") as file:
        return _part(what, _table(what, file))


def _table(what: str, file: BinaryIO) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as found:
            _check_size(what, found.metadata)
            return found.read()
    except (pa.ArrowException, ValueError, OSError, OverflowError, MemoryError) as error:
        raise DataError(
            f"{what}: is no whole Parquet file ({one_line(error)}); save it again, for example with pandas"
        ) from error


def _check_size(what: str, metadata: Any) -> None:
    """Raise DataError for more values than can be kept: a small file may hold gigabytes of one number."""
    if metadata.num_rows < 1:
        raise DataError(f"{what}: holds no rows; give a row for each sample")
    if metadata.num_rows * metadata.num_columns > MOST_VALUES:
        raise DataError(f"{what}: holds more than {MOST_VALUES} values; give fewer rows")


def _part(what: str, table: Any) -> Part:
    names = tuple(table.column_names)
    if not names:
        raise DataError(f"{what}: has no columns; give a label and a column for each value")
    found = columns.roles(what, names)
    held = [_Column(what, name, table.column(place)) for place, name in enumerate(names)]
    with columns.naming(found.guess):
        return Part(
            names=tuple(names[place] for place in found.features),
            features=np.stack([_numbers(held[place]) for place in found.features], axis=1),
            labels=_texts(held[found.label]),
            split=None if found.split is None else _texts(held[found.split]),
            notes=found.notes,
            guess=found.guess,
        )


def _texts(column: _Column) -> Sequence[str]:
    cells = ["" if cell is None else str(cell).strip() for cell in column.cells.to_pylist()]
    if "" in cells:
        raise column.fault(cells.index(""), "is empty", "fill it or remove the row")
    return cells


def _numbers(column: _Column) -> np.ndarray:
    """The numbers of a column, float32 [N]; raises DataError for text, for an empty cell, and for NaN."""
    import pyarrow as pa

    empty = np.asarray(column.cells.is_null())
    if empty.any():
        raise column.fault(int(np.argmax(empty)), "is empty", "fill it or remove the row")
    try:
        wide = column.cells.cast(pa.float64(), safe=False).to_numpy()
    except pa.ArrowException as error:
        raise DataError(
            f"{column.what}: column {column.name!r} is {column.cells.type}, which holds no numbers; "
            "remove it or save it as float32"
        ) from error
    with np.errstate(over="ignore"):  # beyond float32's range a value becomes infinite and is refused below
        x: np.ndarray = wide.astype(np.float32)
    bad = ~np.isfinite(x)
    if bad.any():
        row = int(np.argmax(bad))
        raise column.fault(row, f"is {wide[row]}, not finite in float32", "replace it or remove the row")
    return x
