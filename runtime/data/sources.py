"""Loads the data that a source's name stands for."""

import os
from collections.abc import Callable
from pathlib import Path

from sparcl_compile.interface.errors import DataError
from sparcl_compile.interface.files import status_of, unreadable
from sparcl_compile.interface.manifest import Model
from sparcl_compile.runtime.data import cifar10, csv_tables, digits, folder, idx, npz, parquet_tables
from sparcl_compile.runtime.data.dataset import Dataset
from sparcl_compile.runtime.data.held_out import held_out

WITH_PATH: dict[str, tuple[str, Callable[[str, Path, Model | None], Dataset]]] = {
    "cifar10": ("PATH", cifar10.load),
    "idx": ("DIR", idx.load),
    "folder": ("DIR", folder.load),
    "npz": ("FILE", npz.load),
    "csv": ("TABLE", csv_tables.load),
    "parquet": ("TABLE", parquet_tables.load),
}
"""The name of the path and the loader, by scheme; a loader takes the source, the path and the model that will learn."""

HELD_OUT = "held-out:"
"""In front of a source: its training samples alone, of which every fifth of a class is the test set."""

KINDS = {"PATH": "folder or archive", "DIR": "folder", "FILE": ".npz file", "TABLE": "table (or folder of tables)"}
"""The kind of a path, by its name."""

KNOWN = ", ".join(["digits", *(f"{scheme}:{path}" for scheme, (path, _) in WITH_PATH.items())])


def load(source: str, model: Model | None = None) -> Dataset:
    """Read a data source.

    Args:
        source: ``digits``, ``cifar10:PATH``, ``idx:DIR``, ``folder:DIR``, ``npz:FILE``, ``csv:TABLE`` or
            ``parquet:TABLE``, or ``held-out:`` in front of one of them; ``~`` is the home folder.
        model: the model that will learn the data; it says what to make of arrays and images of several forms.

    Raises:
        DataError: the source is unknown, cannot be read or does not make a data set.
    """
    if source.startswith(HELD_OUT):
        return held_out(load(source.removeprefix(HELD_OUT), model))
    if source == "digits":
        return digits.load(source)
    scheme, colon, text = source.partition(":")
    if scheme not in WITH_PATH:
        raise DataError(f"unknown data source {source!r}; give {_guess(source)}one of {KNOWN}")
    kind, loader = WITH_PATH[scheme]
    if not colon or not text:
        raise DataError(f"the data source {scheme} needs a path; give {scheme}:{kind}")
    path = Path(os.path.expanduser(text))
    try:
        _check_exists(source, path, kind)
        return loader(source, path, model)
    except OSError as error:
        raise DataError(f"{source}: {unreadable(path, error)}") from error


def _guess(source: str) -> str:
    """The source that a path without a scheme may stand for, in front of all others; empty for what is no path."""
    path = Path(os.path.expanduser(source))
    suffix = path.suffix.lower().removeprefix(".")
    if source and path.is_dir():
        return f"folder:{source} for a folder of images, else "
    return f"{suffix}:{source}, else " if path.is_file() and suffix in WITH_PATH else ""


def _check_exists(source: str, path: Path, kind: str) -> None:
    """Raise DataError where a path does not exist; the message has the outermost folder that is missing."""
    missing = [one for one in (path.absolute(), *path.absolute().parents) if status_of(one) is None]
    if missing:
        outermost = f", nor does {missing[-1]}" if len(missing) > 1 else ""
        raise DataError(f"{source}: {missing[0]} does not exist{outermost}; give the {KINDS[kind]} that holds the data")
