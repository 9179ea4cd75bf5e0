"""Arrays in one .npz file.

Keys: ``x_train``, ``y_train``, ``x_test``, ``y_test``; or ``x``, ``y``, every fifth sample of a class is for testing.

``y`` holds integers from 0, [N] or [N, 1]. ``x`` is uint8 (0 to 255) or floating (taken as it is, in float32) and

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
from sparcl_compile.runtime.data import checks, split
from sparcl_compile.runtime.data.dataset import Dataset, build

SPLIT_KEYS = ("x_train", "y_train", "x_test", "y_test")
WHOLE_KEYS = ("x", "y")
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


def load(source: str, path: Path) -> Dataset:
    """Read a .npz file; see this module's head for its keys and shapes.

    Raises:
        DataError: not a .npz file, a key is missing, or its arrays do not make a data set.
        OSError: the file cannot be read.
    """
    arrays = _read(source, path)
    if all(key in arrays for key in SPLIT_KEYS):
        x_train, y_train, x_test, y_test = (arrays[key] for key in SPLIT_KEYS)
        return build(
            source, (_images(source, "x_train", x_train), y_train), (_images(source, "x_test", x_test), y_test)
        )
    if all(key in arrays for key in WHOLE_KEYS):
        x = _images(source, "x", arrays["x"])
        train, test = split.stratified(x, checks.labels(source, "y", arrays["y"], len(x)))
        return build(source, train, test)
    raise DataError(
        f"{source}: the file holds {', '.join(arrays) or 'nothing'}; "
        f"save it with the keys {', '.join(SPLIT_KEYS)}, or {' and '.join(WHOLE_KEYS)}"
    )


def _read(source: str, path: Path) -> dict[str, np.ndarray]:
    wanted = (*SPLIT_KEYS, *WHOLE_KEYS)
    check_plain(path)
    if not zipfile.is_zipfile(path):
        raise DataError(f"{source}: not a .npz file, or cut short; save the arrays with numpy.savez")
    try:
        # Given an open file: numpy leaves one that it opened itself open when the archive is broken.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files if key in wanted}
    except BROKEN as error:
        raise DataError(
            f"{source}: damaged or not plain arrays ({checks.one_line(error)}); save them again with numpy.savez"
        ) from error
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy gives the bytes of a member that is no array
            raise DataError(f"{source}: {key} is not an array; save it again with numpy.savez")
    return arrays


def _images(source: str, what: str, x: np.ndarray) -> np.ndarray:
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
