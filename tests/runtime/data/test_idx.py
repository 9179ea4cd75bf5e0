"""The MNIST family's files."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.data import load

LABELS = np.array([2, 0, 1, 2, 0, 1], np.uint8)
IMAGES = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3)


def encoded(array: np.ndarray, kind: int = 8) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


def write(folder: Path, dot: bool = False, gz: bool = False) -> str:
    arrays = {"images": (IMAGES, 3), "labels": (LABELS, 1)}
    for split, step in (("train", 1), ("t10k", -1)):
        for part, (array, axes) in arrays.items():
            name = f"{split}-{part}{'.' if dot else '-'}idx{axes}-ubyte{'.gz' if gz else ''}"
            data = encoded(array[::step])
            (folder / name).write_bytes(gzip.compress(data) if gz else data)
    return f"idx:{folder}"


@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("gz", [False, True])
def test_raw_and_gzipped_files_are_read(dot: bool, gz: bool, tmp_path: Path) -> None:
    dataset = load(write(tmp_path, dot, gz))
    np.testing.assert_array_equal(dataset.x_train, IMAGES[:, np.newaxis])
    np.testing.assert_array_equal(dataset.x_test, IMAGES[::-1, np.newaxis])
    np.testing.assert_array_equal(dataset.y_test, LABELS[::-1])
    assert (dataset.classes, dataset.augment, dataset.sample_shape) == (("0", "1", "2"), "none", (1, 4, 3))


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    source = write(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=f"{name} .*is missing"):
        load(source)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("train-images-idx3-ubyte", b"", "begins with nothing"),
        ("train-images-idx3-ubyte", b"\x89PNG" + bytes(100), "begins with 89504e47.*with 00000803"),
        ("train-images-idx3-ubyte", encoded(LABELS), "begins with 00000801"),
        ("train-labels-idx1-ubyte", encoded(IMAGES), "begins with 00000803.*with 00000801"),
        ("train-images-idx3-ubyte", encoded(IMAGES.astype(">f4"), kind=13), "begins with 00000d03"),
        ("t10k-images-idx3-ubyte", encoded(IMAGES)[:-1], "holds 71 values instead of the 72 of its header"),
        ("t10k-images-idx3-ubyte", encoded(IMAGES) + b"\0", "holds more values than the 72 of its header"),
        ("t10k-images-idx3-ubyte", encoded(IMAGES)[:10], "ends inside its header"),
        ("train-labels-idx1-ubyte", encoded(LABELS[:5]), r"y_train has shape \[5\] for 6 images"),
        ("train-labels-idx1-ubyte", encoded(LABELS // 2), "class 2 has no samples in y_train"),
        ("train-images-idx3-ubyte", encoded(IMAGES[:0]), "x_train holds no images"),
    ],
)
def test_damaged_files_are_refused(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    source = write(tmp_path)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        load(source)
    assert "\n" not in str(caught.value)


# mtime: a time stamp in the parameters would give two processes two sets of tests.
@pytest.mark.parametrize(
    "data", [b"no gzip", gzip.compress(encoded(IMAGES), mtime=0)[:-9], gzip.compress(b"", mtime=0)[:5]]
)
def test_broken_gzip_is_refused(data: bytes, tmp_path: Path) -> None:
    source = write(tmp_path, gz=True)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(data)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is not a whole gzip file"):
        load(source)
