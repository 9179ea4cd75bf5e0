"""Arrays in one .npz file.

Keys, upper or lower case: ``x_train``, ``y_train``, ``x_test``, ``y_test`` or another row of ``SPLIT_KEYS``; or ``x``,
``y`` or another row of ``WHOLE_KEYS``, then every fifth sample of a class is for testing.

``y`` holds integers from 0 or from 1, [N] or [N, 1], texts, or one-hot rows [N, K]. ``x`` is uint8 (0 to 255) or
floating (taken as it is, in float32), or whole numbers of any type for a model that takes such (tokens), and

- in the model's own axes where that takes sequences or volumes; else
- [N, D]: vectors, kept as [N, D, 1, 1];
- [N, H, W]: grey images, kept as [N, 1, H, W];
- [N, H, W, C] when the last axis is 1, 3 or 4 long and the second is not; [N, C, H, W] otherwise.
"""

import lzma
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from sparcl_compile.interface.errors import DataError
from sparcl_compile.interface.files import check_plain
from sparcl_compile.interface.manifest import Model
from sparcl_compile.runtime.data import checks, split
from sparcl_compile.runtime.data.arrange import FORMS, in_model_axes
from sparcl_compile.runtime.data.dataset import Dataset, build
from sparcl_compile.runtime.data.kinds import as_samples
from sparcl_compile.runtime.data.labels import numbered

SPLIT_KEYS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("train_x", "train_y", "test_x", "test_y"),
    ("train_data", "train_labels", "test_data", "test_labels"),
    ("x_train", "y_train", "x_val", "y_val"),
    ("train_images", "train_labels", "val_images", "val_labels"),
)
"""Names of the training samples, their labels and those for testing: the first row whose names are all there counts."""
WHOLE_KEYS = (("x", "y"), ("images", "labels"), ("data", "labels"), ("data", "target"))
OBJECTS = "allow_pickle=False"
"""In numpy's message about an array of Python objects, which is not read, since it may run code."""
OF_OBJECTS = "make arrays of objects plain before numpy.savez, as y.astype(str) and numpy.stack(list(x)) do"
CHANNELS = (1, 3, 4)
"""Lengths that mark the last axis as channels."""
BROKEN = (
    *(ValueError, EOFError, KeyError, NotImplementedError, MemoryError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(
        RuntimeError,
        TypeError,
        AttributeError,
        IndexError,
        OverflowError,
        SyntaxError,
        struct.error,
        tokenize.TokenError,
    ),
)
"""Exceptions that numpy and zipfile raise for a damaged or encrypted file."""


def load(source: str, path: Path, model: Model | None = None) -> Dataset:
    """Read a .npz file; see this module's head for its keys and shapes.

    Raises:
        DataError: not a .npz file, a key is missing, or its arrays do not make a data set.
        OSError: the file cannot be read.
    """
    arrays, held = _read(source, path)
    keys = next((row for row in (*SPLIT_KEYS, *WHOLE_KEYS) if all(key in arrays for key in row)), None)
    if keys is None:
        raise DataError(
            f"{source}: the file holds {', '.join(held) or 'nothing'}; "
            f"save it with the keys {', '.join(SPLIT_KEYS[0])}, or {' and '.join(WHOLE_KEYS[0])}"
        )
    xs = [_images(source, key, arrays[key], model) for key in keys[::2]]
    ys, classes, notes = numbered(source, [arrays[key] for key in keys[1::2]])
    if len(xs) == 1:
        train, test = split.stratified(xs[0], checks.labels(source, keys[1], ys[0], len(xs[0])))
    else:
        train, test = zip(xs, ys, strict=True)
    return build(source, train, test, classes, notes=notes)


def _read(source: str, path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays by their keys in lower case, and all keys of the file."""
    wanted = {key for row in (*SPLIT_KEYS, *WHOLE_KEYS) for key in row}
    check_plain(path)
    if not zipfile.is_zipfile(path):
        raise DataError(f"{source}: not a .npz file, or cut short; save the arrays with numpy.savez")
    try:
        # Given an open file: numpy leaves one that it opened itself open when the archive is broken.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            # Sorted, so that of x and X the small one counts.
            arrays = {key.lower(): archive[key] for key in sorted(archive.files) if key.lower() in wanted}
            held = archive.files
    except BROKEN as error:
        why = checks.one_line(error)
        mend = OF_OBJECTS if OBJECTS in why else "save them again with numpy.savez"
        raise DataError(f"{source}: damaged or not plain arrays ({why}); {mend}") from error
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy gives the bytes of a member that is no array
            raise DataError(f"{source}: {key} is not an array; save it again with numpy.savez")
    return arrays, held


def _images(source: str, what: str, x: np.ndarray, model: Model | None) -> np.ndarray:
    x = as_samples(source, what, x, model)
    if model is not None and in_model_axes(x, model):
        return FORMS[model.layout](x)
    if x.ndim == 2:
        return x[:, :, np.newaxis, np.newaxis]
    if x.ndim == 3:
        return x[:, np.newaxis]
    if x.ndim != 4:
        raise DataError(
            f"{source}: {what} has {x.ndim} axes; give [N, H, W, C], [N, C, H, W], [N, H, W] or vectors [N, D]"
        )
    channels_last = x.shape[3] in CHANNELS and x.shape[1] not in CHANNELS
    return x.transpose(0, 3, 1, 2) if channels_last else x
