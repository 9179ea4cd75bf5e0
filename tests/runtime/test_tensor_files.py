"""Files of tensors: what is written is read, any other reader of safetensors takes it, and every damage is noticed."""

import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from sparcl_compile.interface.errors import CheckpointError
from sparcl_compile.runtime import tensor_files

ARRAYS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "scalar": np.array(7),
    "none": np.zeros((0, 4), np.float64),
    "flags": np.array([True, False, True]),
    "bytes": np.array([[255]], np.uint8),
    'a "name" é': np.array([-1, 2], np.int32),
}
TEXTS = {"version": tensor_files.VERSION, "progress": '{"sha256":"' + "1" * 64 + '"}', "é": "ü\n"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    tensor_files.sealed(ARRAYS, TEXTS).write(tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


def read(path: Path) -> tuple[tensor_files.Arrays, tensor_files.Texts]:
    return tensor_files.read(path, "mend it", ("progress",))


def check_same(found: tensor_files.Arrays) -> None:
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)


def test_what_is_written_is_read(file: Path) -> None:
    arrays, texts = read(file)
    check_same(arrays)
    assert {key: text for key, text in texts.items() if key != "sha256"} == TEXTS
    check_same(load_file(file))


def test_the_checksum_is_that_of_the_page(file: Path) -> None:
    """As docs/learner.md says: of the whole file with zeros in the place of the checksum itself."""
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length]
    assert length % 8 == 0
    assert header.startswith(b'{"__metadata__":{')
    given = json.loads(header)["__metadata__"]["sha256"]
    assert content.count(given.encode()) == 1
    assert hashlib.sha256(content.replace(given.encode(), b"0" * 64)).hexdigest() == given


@settings(deadline=None)
@given(share=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_every_changed_byte_is_noticed(share: float, flip: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        tensor_files.sealed(ARRAYS, TEXTS).write(path)
        content = bytearray(path.read_bytes())
        content[int(share * len(content))] ^= flip
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"is damaged \(.*\); mend it|has checkpoint version"):
            read(path)


@pytest.mark.parametrize("size", [0, 4, 8, 20, -1])
def test_a_file_that_is_cut_short(size: int, file: Path) -> None:
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(CheckpointError, match="is damaged"):
        read(file)


def test_a_text_that_is_missing(tmp_path: Path) -> None:
    tensor_files.sealed({}, {}).write(tmp_path / "a")
    with pytest.raises(CheckpointError, match="is damaged"):
        read(tmp_path / "a")


def test_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tensor_files, "VERSION", "7")
        tensor_files.sealed({}, TEXTS).write(tmp_path / "a")
    with pytest.raises(CheckpointError, match="has checkpoint version 7, this program reads version 3; use it with"):
        read(tmp_path / "a")


def test_another_writer_s_file_without_a_checksum(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(2)}, tmp_path / "a", TEXTS)
    with pytest.raises(CheckpointError, match="is damaged"):
        read(tmp_path / "a")


def test_a_header_that_is_said_to_be_endless(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff" * 16)
    with pytest.raises(CheckpointError, match="is damaged"):
        read(tmp_path / "a")
