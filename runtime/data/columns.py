"""Tables of sensor values: a label and numbers in each row, read from CSV or Parquet files.

The label is the column ``label``, ``class`` or ``target``, or ``y`` where that is the first or the last; without one of
these the last column, which a note says. The other columns are the features in their order, and a model whose samples
have axes takes them as they lie in memory: for [C, T] all T values of the first channel, then those of the next.

A column ``split`` says which rows are for training and which for testing. Without it a folder may hold ``train`` and
``test`` files (or ``val``, as a folder of images may), else every fifth row of a class is for testing.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from sparcl_compile.interface.errors import DataError
from sparcl_compile.interface.manifest import Model
from sparcl_compile.runtime.data import split
from sparcl_compile.runtime.data.arrange import FORMS
from sparcl_compile.runtime.data.dataset import Dataset, Split, build
from sparcl_compile.runtime.data.folder import TESTS
from sparcl_compile.runtime.data.labels import numbered

LABELS = ("label", "class", "target")
EDGE_LABEL = "y"
"""A label at the first or the last place only: beside an x it is a coordinate."""
SPLIT = "split"
TRAIN = "train"
NUMBERING = ("", "unnamed: 0")
"""Names of a first column that numbers the rows, as pandas writes it."""
MOST_VALUES = 2**30
"""The values of a table are counted before they are kept: 4 GB in float32."""


@dataclasses.dataclass(frozen=True)
class Roles:
    """What the columns of a table are, by their places."""

    label: int
    split: int | None
    features: tuple[int, ...]
    notes: tuple[str, ...]
    guess: str = ""
    """What a refusal adds where the label was guessed."""


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """The rows of one file.

    Attributes:
        names: of the features.
        features: float32 [N, D].
        labels: [N], as texts.
        split: [N], the part that a row belongs to; None where no column says it.
        notes: what was guessed in reading.
        guess: which column was taken for the label, where its name does not say it.
    """

    names: tuple[str, ...]
    features: np.ndarray
    labels: Sequence[str]
    split: Sequence[str] | None
    notes: tuple[str, ...]
    guess: str = ""


Read = Callable[[str, Path], Part]
"""Reads a file; takes how messages call it, and its path."""


def roles(what: str, names: Sequence[str]) -> Roles:
    """Return what each column is, by the names.

    Args:
        what: the table, for messages.
        names: of all columns.

    Raises:
        DataError: a name is there twice, several could be the label, or there are no features.
    """
    lowered = [name.strip().lower() for name in names]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{what}: two columns are called {twice!r}; give each column its own name")
    split_place = lowered.index(SPLIT) if SPLIT in lowered else None
    label, guessed = _label(what, names, lowered, split_place)
    notes: tuple[str, ...] = ()
    if guessed:
        notes = (f"no column is called {', '.join(LABELS)}: the last one, {names[label]!r}, is the label",)
    taken = {label, split_place}
    if lowered[0] in NUMBERING and 0 not in taken:
        taken.add(0)
        notes += ("the first column has no name and is left out, as the number of a row",)
    features = tuple(place for place in range(len(names)) if place not in taken)
    if not features:
        raise DataError(
            f"{what}: has no column beside the label {names[label]!r}; give one column for each value, with commas, "
            "semicolons or tabs between them"
        )
    guess = f"the last column, {names[label]!r}, was taken for the label; call another one label if it is that"
    return Roles(label, split_place, features, notes, guess if guessed else "")


def _label(what: str, names: Sequence[str], lowered: Sequence[str], other: int | None) -> tuple[int, bool]:
    """The place of the label, and whether it is guessed."""
    found = [place for place, name in enumerate(lowered) if name in LABELS]
    if len(found) > 1:
        several = " and ".join(repr(names[place]) for place in found[:2])
        raise DataError(f"{what}: the columns {several} could both be the label; remove or rename one")
    free = [place for place in range(len(names)) if place != other]
    found = found or [place for place in (*free[:1], *free[-1:]) if lowered[place] == EDGE_LABEL]
    if found:
        return found[0], False
    if not free:
        raise DataError(f"{what}: has no column with labels; add one that is called label")
    return free[-1], True


@contextlib.contextmanager
def naming(guess: str) -> Iterator[None]:
    """Add to a refusal which column was taken for the label, where that was guessed."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{error}; {guess}" if guess else str(error)) from error


def load(source: str, path: Path, model: Model | None, suffix: str, read: Read) -> Dataset:
    """Read a table, or a folder of a training and a test table.

    Args:
        source: the source as the user gave it.
        path: a file, or a folder.
        model: the model that will learn; its axes say how the columns lie.
        suffix: of the files in a folder.
        read: reads a file.

    Raises:
        DataError: a file is no table, or its columns do not make a data set.
        OSError: a file cannot be read.
    """
    if not path.is_dir():
        part = read(source, path)
        notes, guess = part.notes, part.guess
        train, test, more = _divided(source, part)
    else:
        parts = [read(f"{source}: {file.name}", file) for file in _pair(source, path, suffix)]
        _check_alike(source, *parts)
        notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
        guess = parts[0].guess
        (train, test), more = ((part.features, np.asarray(part.labels)) for part in parts), ()
    with naming(guess):
        labels = _whole(source, np.concatenate([train[1], test[1]]))
        (y_train, y_test), classes, told = numbered(source, np.split(labels, [len(train[1])]))
        pairs = [(_samples(source, x, model), y) for x, y in ((train[0], y_train), (test[0], y_test))]
        dataset = build(source, pairs[0], pairs[1], classes, notes=(*notes, *more, *told))
    return dataclasses.replace(dataset, guess=guess)


def _pair(source: str, path: Path, suffix: str) -> tuple[Path, Path]:
    train = path / f"{TRAIN}{suffix}"
    tests = [path / f"{name}{suffix}" for name in TESTS]
    test = next((file for file in tests if file.exists()), tests[0])
    for file in (train, test):
        if not file.exists():
            raise DataError(
                f"{source}: {file} is missing; put train{suffix} and test{suffix} there, or give a {suffix} file"
            )
    return train, test


def _check_alike(source: str, train: Part, test: Part) -> None:
    """Raise DataError where two tables have other features."""
    if len(train.names) != len(test.names):
        counts = f"{len(train.names)} columns of features, the test table {len(test.names)}"
        raise DataError(f"{source}: the training table has {counts}; give both the same columns")
    for own, other in zip(train.names, test.names, strict=True):
        if own != other:
            raise DataError(
                f"{source}: the training table has the column {own!r} where the test table has {other!r}; "
                "give both the same columns in one order"
            )


def _divided(source: str, part: Part) -> tuple[Split, Split, tuple[str, ...]]:
    """The rows for training and for testing, and what is said of the others."""
    labels = np.asarray(part.labels)
    if part.split is None:
        return *split.stratified(part.features, labels), ()
    named = np.array([name.lower() for name in part.split])
    odd = next((name for name in part.split if name.lower() not in (TRAIN, *TESTS)), None)
    if odd is not None:
        raise DataError(f"{source}: the column {SPLIT} holds {odd!r}; give {TRAIN} or {TESTS[0]} in each row")
    test = next((name for name in TESTS if (named == name).any()), TESTS[0])
    for name in (TRAIN, test):
        if not (named == name).any():
            raise DataError(f"{source}: no row of the column {SPLIT} is {name}; give {TRAIN} or {TESTS[0]} in each row")
    rest = int(((named != TRAIN) & (named != test)).sum())
    notes = (f"{rest} rows are neither {TRAIN} nor {test} and are left out",) if rest else ()
    train, tested = ((part.features[named == name], labels[named == name]) for name in (TRAIN, test))
    return train, tested, notes


def _whole(source: str, labels: np.ndarray) -> np.ndarray:
    """Labels as integers where all, for training and for testing, are whole numbers, else as texts.

    Raises:
        DataError: they are numbers with a fraction, and no classes.
    """
    try:
        numbers = labels.astype(np.float64)
    except ValueError:
        return labels
    odd = np.flatnonzero(~(np.abs(numbers) < np.iinfo(np.int32).max) | (numbers != np.rint(numbers)))
    if odd.size:
        raise DataError(
            f"{source}: the label {str(labels[odd[0]])!r} is no class; "
            f"call the column with the classes {LABELS[0]} and give whole numbers or texts"
        )
    return numbers.astype(np.int64)


def _samples(source: str, x: np.ndarray, model: Model | None) -> np.ndarray:
    """The rows as raw samples [N, C, H, W] of a model; as vectors without one."""
    if model is None or model.layout == "flat":
        return x[:, :, np.newaxis, np.newaxis]
    columns, lengths = x.shape[1], model.input_shape
    known = math.prod(length for length in lengths if length is not None)
    if lengths.count(None) > 1 or columns % known or (None not in lengths and columns != known):
        taken = "x".join("any" if length is None else str(length) for length in lengths)
        wanted = f"a multiple of {known}" if None in lengths else str(known)
        raise DataError(
            f"{source}: has {columns} columns of features, the model takes {taken}; give {wanted} columns beside the "
            "label, or compile a model that takes so many values"
        )
    own = x.reshape(len(x), *(columns // known if length is None else length for length in lengths))
    if model.layout == "NHWC":
        return own.transpose(0, 3, 1, 2)
    return FORMS[model.layout](own) if model.layout in FORMS else own
