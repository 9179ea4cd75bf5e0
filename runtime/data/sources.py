"""Loads the data that a source's name stands for."""

import os
from collections.abc import Callable
from pathlib import Path

from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.data import cifar10, digits, folder, idx, npz
from sparcl_compile.runtime.data.dataset import Dataset

WITH_PATH: dict[str, tuple[str, Callable[[str, Path], Dataset]]] = {
    "cifar10": ("PATH", cifar10.load),
    "idx": ("DIR", idx.load),
    "folder": ("DIR", folder.load),
    "npz": ("FILE", npz.load),
}
"""The name of the path and the loader, by scheme; a loader takes the source and the path."""

KNOWN = ", ".join(["digits", *(f"{scheme}:{path}" for scheme, (path, _) in WITH_PATH.items())])


def load(source: str) -> Dataset:
    """Read a data source.

    Args:
        source: ``digits``, ``cifar10:PATH``, ``idx:DIR``, ``folder:DIR`` or ``npz:FILE``; ``~`` is the home folder.

    Raises:
        DataError: the source is unknown, cannot be read or does not make a data set.
    """
    if source == "digits":
        return digits.load(source)
    scheme, colon, text = source.partition(":")
    if scheme not in WITH_PATH:
        raise DataError(f"unknown data source {source!r}; give one of {KNOWN}")
    kind, loader = WITH_PATH[scheme]
    if not colon or not text:
        raise DataError(f"the data source {scheme} needs a path; give {scheme}:{kind}")
    path = Path(os.path.expanduser(text))
    if not path.exists():
        raise DataError(f"{source}: there is no {path}; give the {kind} of existing data")
    try:
        return loader(source, path)
    except OSError as error:
        detail = error.strerror or str(error)
        raise DataError(f"{source}: cannot read {error.filename or path} ({detail}); check the file") from error
