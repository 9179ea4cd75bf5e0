"""Data files that ended in a traceback, a hang, a signal or all of the memory: one line, with the file and the fix."""

import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.data import load

BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")


def refusal(source: str) -> str:
    with pytest.raises(DataError) as refused:
        load(source)
    text = str(refused.value)
    assert text.startswith(source)
    assert "\n" not in text
    return text


# npz


def packed(path: Path, **members: bytes) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_npy", ".npy"), content)
    return f"npz:{path}"


@pytest.mark.parametrize("suffix", ["", "_npy"])
def test_members_that_are_no_arrays(suffix: str, tmp_path: Path) -> None:
    text = refusal(packed(tmp_path / "a.npz", **{f"x{suffix}": b"hello", f"y{suffix}": b"z"}))
    assert "x is not an array; save it again with numpy.savez" in text


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000, 1000000)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': ('<f4', 3, 4, 5), 'fortran_order': False, 'shape': (2,)}",
        "{'descr': [], 'fortran_order': 1, 'shape': 7}",
        "(" * 500,
        "[" * 9000,
    ],
)
def test_headers_that_lie(text: str, tmp_path: Path) -> None:
    refusal(packed(tmp_path / "a.npz", x_npy=header(text), y_npy=header(text)))


def test_an_encrypted_file(tmp_path: Path) -> None:
    source = packed(tmp_path / "a.npz", x_npy=header("{}"), y_npy=header("{}"))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    for start, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = -1
        while (place := content.find(start, place + 1)) >= 0:
            content[place + at] |= 1
    (tmp_path / "a.npz").write_bytes(content)
    assert "encrypted" in refusal(source)


# Paths


@pytest.mark.parametrize("scheme", ["npz", "idx", "folder", "cifar10", "csv"])
def test_a_path_of_any_length(scheme: str) -> None:
    assert "cannot be read (File name too long); give a shorter path" in refusal(f"{scheme}:/{'a' * 5000}")


@pytest.mark.parametrize("scheme", ["npz", "cifar10"])
def test_a_pipe_or_a_device_is_not_waited_for(scheme: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        assert "not a file but a device or pipe" in refusal(f"{scheme}:{path}")


def test_a_pipe_among_images(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "0.png")
    assert "a/0.png: cannot be read (not a file but a device or pipe); give a file" in refusal(f"folder:{tmp_path}")


def test_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for scheme in ("npz", "idx", "folder", "cifar10", "csv"):
        refusal(f"{scheme}:{tmp_path / 'loop'}")


# Archives


def member(path: Path, kind: bytes = tarfile.REGTYPE, target: str = "", **headers: str) -> str:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("data_batch_1.bin")
        info.type, info.linkname, info.size = kind, target, 4 * (not target)
        info.pax_headers = {f"GNU.sparse.{name}": value for name, value in headers.items()}
        archive.addfile(info, None if target else io.BytesIO(b"abcd"))
    return f"cifar10:{path}"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["data_batch_1.bin", "nowhere", "/etc/passwd"])
def test_members_that_are_links(kind: bytes, target: str, tmp_path: Path) -> None:
    assert "data_batch_1.bin in the archive is no file but a link" in refusal(member(tmp_path / "a.tar", kind, target))


@pytest.mark.parametrize(
    "headers",
    [
        {"map": "a,b", "size": "9"},
        {"map": "0,4", "size": str(10**30), "numblocks": "1"},
        {"map": "0,4", "size": str(10**12), "numblocks": "1"},
        {"map": "0", "size": "4", "numblocks": "1"},
    ],
)
def test_sparse_headers_that_lie(headers: dict[str, str], tmp_path: Path) -> None:
    refusal(member(tmp_path / "a.tar", **headers))


def test_a_gzip_file_is_not_unpacked_beyond_its_header(tmp_path: Path) -> None:
    content = struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 2, 2) + bytes(10**8)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    assert "holds more values than the 8 of its header" in refusal(f"idx:{tmp_path}")


@pytest.mark.parametrize("length", [2**32 - 1, 2**20])
def test_a_header_of_more_than_the_memory(length: int, tmp_path: Path) -> None:
    content = struct.pack(">BBBBIII", 0, 0, 8, 3, length, length, length)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    refusal(f"idx:{tmp_path}")


# Pickles


def pickled(folder: Path, content: bytes) -> str:
    for name in BATCHES:
        (folder / name).write_bytes(content)
    return f"cifar10:{folder}"


SHARED = b"\x80\x02}N" + b"q\x00h\x00\x86" * 200 + b"Ns."
"""A key of 200 pairs, each of the pair before with itself: 2**200 parts."""


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02}N" + b"\x85" * 10**6 + b"Ns.",
        b"\x80\x02}(" + b"(" * 10**5 + b"t" * 10**5 + b"Ns.",
        SHARED,
        b"\x80\x02Nr\xff\xff\xff\xff.",
        b"\x80\x02\x85.",
        b"\x80\x02s.",
        b"\x80\x02h\x07.",
        b"\x80\x02q\x07.",
    ],
)
def test_pickles_that_nest_share_or_take_without_end(content: bytes, tmp_path: Path) -> None:
    assert "data_batch_1 is no whole pickle of CIFAR-10" in refusal(pickled(tmp_path, content))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_file_names_as_bytes_are_no_fault(protocol: int, tmp_path: Path) -> None:
    """Old protocols write each as a call with a tuple of its own."""
    names = [f"image_{number}.png".encode() for number in range(1500)]
    batch = {b"data": np.zeros((10, 3072), np.uint8), b"labels": list(range(10)), b"filenames": names}
    assert len(load(pickled(tmp_path, pickle.dumps(batch, protocol))).x_train) == 50


# Images


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_a_small_image_of_gigabytes(tmp_path: Path) -> None:
    size = struct.pack(">IIBBBBB", 10_000, 8_900, 8, 2, 0, 0, 0)
    content = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number in range(5):
            (tmp_path / label / f"{number}.png").write_bytes(content)
    assert "a/0.png is 10000x8900 pixels; give images of at most 67108864" in refusal(f"folder:{tmp_path}")
