"""The MNIST family (MNIST, Fashion-MNIST, KMNIST): four files in the IDX format, raw or gzipped.

Source of the format: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits": two zero bytes, the
type (8: unsigned byte), the number of axes, then each axis's length as a big-endian int32, then the values.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from sparcl_compile.interface.errors import DataError
from sparcl_compile.interface.manifest import Model
from sparcl_compile.runtime.data.checks import one_line
from sparcl_compile.runtime.data.dataset import Dataset, build

UNSIGNED_BYTE = 8
SPLITS = ("train", "t10k")


def load(source: str, path: Path, _model: Model | None = None) -> Dataset:
    """Read ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and the two ``t10k-`` files, each raw or ``.gz``.

    Some mirrors write ``train-images.idx3-ubyte``; that is accepted too.

    Raises:
        DataError: a file is missing, damaged or of another type.
        OSError: a file cannot be read.
    """
    train, test = (
        (_read(source, path, f"{split}-images", 3)[:, np.newaxis], _read(source, path, f"{split}-labels", 1))
        for split in SPLITS
    )
    return build(source, train, test)


def _read(source: str, folder: Path, stem: str, axes: int) -> np.ndarray:
    path = _find(source, folder, stem, axes)
    try:
        data = _unpacked(path, 4 + 4 * axes) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error, OverflowError, MemoryError) as error:
        raise DataError(f"{source}: {path} is not a whole gzip file ({one_line(error)}); download it again") from error
    return _parse(source, path, data, axes)


def _unpacked(path: Path, header: int) -> bytes:
    """The content of a gzip file, of which no more is unpacked than a byte beyond what its header tells of."""
    with gzip.open(path) as file:
        start = file.read(header)
        lengths = struct.unpack(f">{len(start) // 4}I", start[: len(start) // 4 * 4])[1:]
        return start + file.read(math.prod(lengths) + 1)


def _find(source: str, folder: Path, stem: str, axes: int) -> Path:
    name = f"{stem}-idx{axes}-ubyte"
    for candidate in (name, f"{name}.gz", f"{stem}.idx{axes}-ubyte", f"{stem}.idx{axes}-ubyte.gz"):
        if (folder / candidate).is_file():
            return folder / candidate
    raise DataError(
        f"{source}: {folder / name} (or {name}.gz) is missing; put the four files of the MNIST family there"
    )


def _parse(source: str, path: Path, data: bytes, axes: int) -> np.ndarray:
    magic, found = struct.pack(">BBBB", 0, 0, UNSIGNED_BYTE, axes), data[:4]
    if found != magic:
        raise DataError(
            f"{source}: {path} begins with {found.hex() or 'nothing'}, an IDX file of bytes with {axes} axes with "
            f"{magic.hex()}; give the original file"
        )
    start = 4 + 4 * axes
    if len(data) < start:
        raise DataError(f"{source}: {path} ends inside its header; download it again")
    shape = struct.unpack(f">{axes}I", data[4:start])
    values, wanted = len(data) - start, math.prod(shape)
    if values != wanted:
        held = "more values than the" if values > wanted else f"{values} values instead of the"
        raise DataError(f"{source}: {path} holds {held} {wanted} of its header; download it again")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
