"""CIFAR-10, binary or python version, in a folder or a tar archive.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. A record of the binary version
is one label byte and 3072 bytes: the red, green and blue planes of 32x32 pixels.
"""

import lzma
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np

from sparcl_compile.interface.errors import DataError
from sparcl_compile.interface.files import check_plain
from sparcl_compile.interface.manifest import Model
from sparcl_compile.runtime.data.checks import one_line
from sparcl_compile.runtime.data.cifar10_pickle import parse_pickle
from sparcl_compile.runtime.data.dataset import Dataset, Split, build

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2615)
"""Mean and standard deviation as in the code of DER++ (Buzzega et al., NeurIPS 2020)."""

IMAGE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
TEST = "test_batch"
SUBFOLDERS = ("", "cifar-10-batches-bin", "cifar-10-batches-py")
LARGEST = 2**28
"""Bytes of a member; a batch of 10,000 images has 30 MB."""
BROKEN_ARCHIVE = (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, ValueError, OverflowError, IndexError)


def load(source: str, path: Path, _model: Model | None = None) -> Dataset:
    """Read CIFAR-10 or a subset of it in the same files.

    Args:
        source: the source as the user gave it.
        path: the folder that holds the six batch files or their usual folder, or a .tar, .tar.gz or .tar.xz of it.

    Raises:
        DataError: a file is missing or damaged, or this is not CIFAR-10.
        OSError: a file cannot be read.
    """
    files = _from_folder(path) if path.is_dir() else _from_archive(source, path)
    suffix = next((suffix for suffix in PARSERS if TRAIN[0] + suffix in files), None)
    if suffix is None:
        raise DataError(
            f"{source}: no {TRAIN[0]}.bin (binary version) or {TRAIN[0]} (python version) in {path}; "
            "give the folder or archive of CIFAR-10"
        )
    batches = [_batch(source, files, name + suffix, PARSERS[suffix]) for name in (*TRAIN, TEST)]
    sizes = {len(labels) for _, labels in batches[:-1]}
    if len(sizes) != 1:
        raise DataError(
            f"{source}: the training batches hold {sorted(sizes)} images, equal numbers are due; unpack again"
        )
    train = (np.concatenate([x for x, _ in batches[:-1]]), np.concatenate([y for _, y in batches[:-1]]))
    return build(source, train, batches[-1], CLASSES, "crop_flip", (MEAN, STD))


def _from_folder(path: Path) -> dict[str, bytes]:
    for folder in (path / name for name in SUBFOLDERS):
        found = [folder / name for name in WANTED if (folder / name).is_file()]
        if found:
            return {file.name: file.read_bytes() for file in found}
    return {}


def _from_archive(source: str, path: Path) -> dict[str, bytes]:
    check_plain(path)
    try:
        # Read in the order of the archive: going back in a compressed one means to unpack it anew.
        with tarfile.open(path) as archive:
            named = ((PurePosixPath(member.name).name, member) for member in archive)
            return {name: _member(source, archive, member) for name, member in named if name in WANTED}
    except BROKEN_ARCHIVE as error:
        raise DataError(f"{source}: {path} is no whole tar archive ({one_line(error)}); download it again") from error


def _member(source: str, archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The content of a member; a link could lead anywhere, or to itself."""
    handle = archive.extractfile(member) if member.isreg() else None
    if handle is None:
        raise DataError(f"{source}: {member.name} in the archive is no file but a link or a folder; download it again")
    if member.size > LARGEST:
        raise DataError(
            f"{source}: {member.name} has {member.size} bytes, a batch of CIFAR-10 30 MB; download it again"
        )
    return handle.read()


def _batch(source: str, files: dict[str, bytes], name: str, parse: Callable[[str, bytes], Split]) -> Split:
    if name not in files:
        raise DataError(f"{source}: {name} is missing; CIFAR-10 has {TRAIN[0]} to {TRAIN[-1][-1]} and {TEST}")
    x, labels = parse(f"{source}: {name}", files[name])
    if labels.max() >= len(CLASSES):
        first = int(np.argmax(labels >= len(CLASSES)))
        raise DataError(f"{source}: label {labels[first]} of image {first} in {name} is not one of CIFAR-10's 0 to 9")
    return x.reshape(-1, *IMAGE), labels


def parse_binary(what: str, data: bytes) -> Split:
    """Read a batch of the binary version; x uint8 [N, 3072], labels int64 [N]. Raises DataError naming ``what``."""
    if not data or len(data) % RECORD:
        raise DataError(f"{what} is {len(data)} bytes long, not a multiple of a record's {RECORD}; download it again")
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    return records[:, 1:], records[:, 0].astype(np.int64)


PARSERS: dict[str, Callable[[str, bytes], Split]] = {".bin": parse_binary, "": parse_pickle}
"""The functions that read batch files, by suffix of the file's name."""
WANTED = tuple(name + suffix for suffix in PARSERS for name in (*TRAIN, TEST))
