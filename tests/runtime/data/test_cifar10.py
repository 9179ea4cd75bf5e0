"""CIFAR-10 in both versions, in folders and archives, whole, damaged and hostile."""

import io
import os
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.data import load

TRAIN = [f"data_batch_{i}" for i in range(1, 6)]
NAMES = [*TRAIN, "test_batch"]
LABELS = np.arange(10, dtype=np.uint8)[::-1]


def pixels(index: int) -> np.ndarray:
    """The images of batch ``index``: uint8 [10, 3072]."""
    return ((np.arange(10 * 3072) * 7 + index) % 256).astype(np.uint8).reshape(10, 3072)


def binary(index: int) -> bytes:
    return np.concatenate([LABELS[:, np.newaxis], pixels(index)], axis=1).tobytes()


def python_three(index: int, protocol: int = 4) -> bytes:
    return pickle.dumps({"data": pixels(index), "labels": LABELS.tolist()}, protocol=protocol)


def text(data: bytes) -> bytes:
    return b"U" + bytes([len(data)]) + data


def python_two(index: int) -> bytes:
    """A batch as Python 2 and its numpy pickled it (protocol 2, byte strings), put together by opcodes."""
    raw = pixels(index).tobytes()
    reconstruct = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    kind = (
        b"cnumpy\ndtype\n"
        + text(b"u1")
        + b"K\x00K\x01\x87R(K\x03"
        + text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    state = b"(K\x01K\x0aM\x00\x0c\x86" + kind + b"\x89T" + len(raw).to_bytes(4, "little") + raw + b"tb"
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in LABELS) + b"e"
    return b"\x80\x02}(" + text(b"data") + reconstruct + state + text(b"labels") + labels + b"u."


VERSIONS = {
    "binary": (".bin", binary),
    "python 2": ("", python_two),
    "python 3, protocol 2": ("", lambda index: python_three(index, 2)),
    "python 3, protocol 4": ("", python_three),
    "python 3, protocol 5": ("", lambda index: python_three(index, 5)),
}


def write(folder: Path, version: str = "binary") -> str:
    suffix, encode = VERSIONS[version]
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(NAMES):
        (folder / f"{name}{suffix}").write_bytes(encode(index))
    return f"cifar10:{folder}"


def packed(tmp_path: Path, mode: str, version: str = "binary") -> Path:
    folder = tmp_path / "unpacked"
    write(folder, version)
    path = tmp_path / "cifar.archive"
    with tarfile.open(path, mode) as archive:
        archive.add(folder, "cifar-10-batches")
    return path


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_gives_the_same_data(version: str, tmp_path: Path) -> None:
    dataset = load(write(tmp_path, version))
    np.testing.assert_array_equal(dataset.x_train.reshape(50, -1), np.concatenate([pixels(i) for i in range(5)]))
    np.testing.assert_array_equal(dataset.x_test, pixels(5).reshape(10, 3, 32, 32))
    np.testing.assert_array_equal(dataset.y_train, np.tile(LABELS, 5))
    assert (dataset.x_train.dtype, dataset.y_test.dtype) == (np.uint8, np.int64)
    assert (dataset.classes[0], dataset.classes[9], dataset.augment) == ("airplane", "truck", "crop_flip")


def test_normalisation_is_that_of_the_papers_code(tmp_path: Path) -> None:
    dataset = load(write(tmp_path))
    known = dataset.known_statistics("auto")
    assert known is not None
    np.testing.assert_allclose(known[0], [0.4914, 0.4822, 0.4465], rtol=1e-6)
    np.testing.assert_allclose(known[1], [0.2470, 0.2435, 0.2615], rtol=1e-6)


@pytest.mark.parametrize("folder", ["cifar-10-batches-bin", "cifar-10-batches-py"])
def test_the_folder_above_is_accepted(folder: str, tmp_path: Path) -> None:
    write(tmp_path / folder, "binary" if folder.endswith("bin") else "python 2")
    assert len(load(f"cifar10:{tmp_path}").x_train) == 50


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
@pytest.mark.parametrize("version", ["binary", "python 2"])
def test_archives_are_read_without_unpacking(mode: str, version: str, tmp_path: Path) -> None:
    dataset = load(f"cifar10:{packed(tmp_path, mode, version)}")
    np.testing.assert_array_equal(dataset.x_test, pixels(5).reshape(10, 3, 32, 32))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_a_cut_archive_is_refused(mode: str, share: float, tmp_path: Path) -> None:
    path = packed(tmp_path, mode)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=r"no whole tar archive|is missing|cannot read|no data_batch_1") as caught:
        load(f"cifar10:{path}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("data_batch_1.bin", b"", r"data_batch_1\.bin is 0 bytes long"),
        (
            "data_batch_2.bin",
            binary(1)[:-1],
            r"data_batch_2\.bin is 30729 bytes long, not a multiple of a record's 3073",
        ),
        ("data_batch_2.bin", binary(1)[:3073], r"hold \[1, 10\] images, equal numbers are due"),
        ("test_batch.bin", b"\x0a" + binary(5)[1:], r"label 10 of image 0 in test_batch\.bin"),
        ("test_batch.bin", binary(5)[3073:], "class truck has no samples in y_test"),
    ],
)
def test_damaged_binary_batches_are_refused(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    source = write(tmp_path)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message):
        load(source)


@pytest.mark.parametrize("name", [*TRAIN[1:], "test_batch"])
def test_a_missing_batch_is_named(name: str, tmp_path: Path) -> None:
    source = write(tmp_path)
    (tmp_path / f"{name}.bin").unlink()
    with pytest.raises(DataError, match=rf"{name}\.bin is missing"):
        load(source)


def test_cifar_100_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.bin").write_bytes(bytes(3074))
    with pytest.raises(DataError, match=r"no data_batch_1\.bin .* give the folder or archive of CIFAR-10"):
        load(f"cifar10:{tmp_path}")


class Hostile:
    """Runs a command when unpickled without care."""

    def __init__(self, *command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, self.command


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_hostile_pickle_runs_nothing(protocol: int, tmp_path: Path) -> None:
    source = write(tmp_path, "python 2")
    mark = tmp_path / "mark"
    data = pickle.dumps({"data": Hostile(f"touch {mark}"), "labels": [0]}, protocol)
    (tmp_path / "data_batch_3").write_bytes(data)
    with pytest.raises(DataError, match=r"data_batch_3 is no whole pickle .*names (posix|nt)\.system"):
        load(source)
    assert not mark.exists()
    pickle.loads(data)  # the same bytes do act when unpickled without care
    assert mark.exists()


class Stateful:
    """Reaches a stand-in's inside."""

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (np.ndarray, "dumps")


OBJECTS = np.array([[None] * 3072] * 10, dtype=object)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        python_two(2)[:-100],
        python_three(2)[:500],
        pickle.dumps([1, 2, 3]),
        pickle.dumps({}),
        pickle.dumps(io.BytesIO(b"")),
        pickle.dumps({"data": Stateful(), "labels": [0]}),
        pickle.dumps({"data": OBJECTS, "labels": LABELS.tolist()}),
        pickle.dumps({"data": pixels(2), "fine_labels": LABELS.tolist()}),
        pickle.dumps({"data": pixels(2).astype(np.int64), "labels": LABELS.tolist()}),
        pickle.dumps({"data": pixels(2)[:, :3000], "labels": LABELS.tolist()}),
        pickle.dumps({"data": pixels(2)[:0], "labels": []}),
        pickle.dumps({"data": pixels(2), "labels": LABELS[:9].tolist()}),
        pickle.dumps({"data": pixels(2), "labels": [*LABELS[:9].tolist(), 0.5]}),
        pickle.dumps({"data": pixels(2), "labels": [*LABELS[:9].tolist(), 2**70]}),
        pickle.dumps({"data": pixels(2), "labels": [*LABELS[:9].tolist(), -1]}),
        pickle.dumps({"data": pixels(2), "labels": [*LABELS[:9].tolist(), 10]}),
        pickle.dumps({"data": pixels(2), "labels": LABELS / 2}),
    ],
)
def test_other_pickles_are_refused(content: bytes, tmp_path: Path) -> None:
    source = write(tmp_path, "python 2")
    (tmp_path / "data_batch_3").write_bytes(content)
    with pytest.raises(DataError, match="data_batch_3") as caught:
        load(source)
    assert "\n" not in str(caught.value)


def test_labels_as_an_array_of_any_byte_order(tmp_path: Path) -> None:
    source = write(tmp_path, "python 3, protocol 4")
    data = {"data": np.asfortranarray(pixels(0)), "labels": LABELS.astype(">i4")}
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(data, 2))
    dataset = load(source)
    np.testing.assert_array_equal(dataset.y_train[:10], LABELS)
    np.testing.assert_array_equal(dataset.x_train[:10].reshape(10, -1), pixels(0))
