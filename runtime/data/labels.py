"""Labels as people save them: numbers from 0 or from 1, one-hot rows, texts."""

from collections.abc import Sequence

import numpy as np

from sparcl_compile.interface.errors import DataError

SHOWN = 5
"""Names of classes in a note."""

Numbered = tuple[list[np.ndarray], tuple[str, ...] | None, tuple[str, ...]]
"""The labels as numbers from 0, the classes' names where the labels say them, and notes for the user."""


def numbered(source: str, labels: Sequence[np.ndarray]) -> Numbered:
    """The labels of all samples, in one or more arrays, as numbers from 0.

    Anything else than one-hot rows, texts and numbers from 1 stays as it is.

    Raises:
        DataError: rows of several ones, which are no classes.
    """
    flat = [_column(y) for y in labels]
    if all(y.dtype.kind in "US" for y in flat):
        return _texts(flat)
    if all(y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "biuf" for y in flat):
        return _rows(source, flat)
    flat = [y.astype(np.int64) if y.dtype == bool else y for y in flat]
    if all(y.dtype.kind in "iu" and y.size for y in flat) and min(int(y.min()) for y in flat) == 1:
        return _from_one(flat)
    return flat, None, ()


def _column(y: np.ndarray) -> np.ndarray:
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def _texts(labels: Sequence[np.ndarray]) -> Numbered:
    named = [y.astype(str) if y.dtype.kind == "U" else np.char.decode(y, "utf-8", "replace") for y in labels]
    names = np.unique(np.concatenate([y.ravel() for y in named]))
    shown = ", ".join(names[:SHOWN].tolist()) + (", ..." if len(names) > SHOWN else "")
    found = [np.searchsorted(names, y).astype(np.int64) for y in named]
    return found, tuple(names.tolist()), (f"the labels are texts, numbered in their order: {shown}",)


def _rows(source: str, labels: Sequence[np.ndarray]) -> Numbered:
    for y in labels:
        bad = np.flatnonzero(((y != 0).sum(axis=1) != 1) | (y.max(axis=1) != 1))
        if bad.size:
            raise DataError(
                f"{source}: the labels are rows of {y.shape[1]}, and row {int(bad[0])} has not one 1 and else zeros; "
                "give one class a sample, as a number from 0 or a one-hot row"
            )
    return [y.argmax(axis=1) for y in labels], None, ("the labels are one-hot rows; a class is the place of its 1",)


def _from_one(labels: Sequence[np.ndarray]) -> Numbered:
    used = np.unique(np.concatenate(labels))
    if not np.array_equal(used, np.arange(1, len(used) + 1)):
        return list(labels), None, ()
    found = [y.astype(np.int64) - 1 for y in labels]
    return found, tuple(str(label) for label in used), (f"the labels run from 1 to {len(used)}",)
