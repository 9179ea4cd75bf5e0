from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sparcl_compile.runtime.session.tensors import give_back_freed, own_copy, pages, stored

TENSORS = {
    "matrix": np.arange(12, dtype=np.float32).reshape(3, 4),
    "counts": np.array([1, 2**40], np.int64),
    "scalar": np.array(2.5, np.float32),
    "nothing": np.zeros((0, 3), np.float32),
}
PAGE = 4096


def resident(key: str) -> int:
    """A line of the process's status in bytes."""
    return int(Path("/proc/self/status").read_text(encoding="ascii").split(f"{key}:")[1].split()[0]) * 1024


@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (5, 1, 7)])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_pages_are_writable_zeros_that_begin_on_a_page(shape: tuple[int, ...], dtype: type) -> None:
    array = pages(shape, dtype)
    assert (array.shape, array.dtype) == (shape, dtype)
    assert array.ctypes.data % PAGE == 0
    assert not array.any()
    array[...] = 3
    assert (array == 3).all()


def test_pages_hold_no_memory_before_they_are_written_and_none_after_they_are_gone() -> None:
    size = 64 << 20
    before = resident("VmRSS")
    array = pages([size], np.uint8)
    assert resident("VmRSS") - before < size // 4
    array[:] = 1
    assert resident("VmRSS") - before > size // 2
    del array
    assert resident("VmRSS") - before < size // 4


def test_a_copy_is_a_copy() -> None:
    array = np.arange(6.0).reshape(2, 3).T
    copy = own_copy(array)
    array[:] = 0
    np.testing.assert_array_equal(copy, np.arange(6.0).reshape(2, 3).T)


@pytest.mark.parametrize("metadata", [None, {"note": "text"}])
def test_a_file_s_tensors_are_read_as_safetensors_wrote_them(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "s.safetensors", metadata)
    found = dict(stored(tmp_path / "s.safetensors"))
    assert found.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(found[name], array)


def test_a_stored_tensor_cannot_be_written(tmp_path: Path) -> None:
    save_file({"w": np.ones(3, np.float32)}, tmp_path / "s.safetensors")
    ((_, array),) = stored(tmp_path / "s.safetensors")
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 2


def test_a_stored_tensor_is_not_read_before_it_is_used(tmp_path: Path) -> None:
    save_file({"w": np.ones(16 << 20, np.float32)}, tmp_path / "s.safetensors")
    before = resident("RssFile")
    ((_, array),) = stored(tmp_path / "s.safetensors")
    assert resident("RssFile") - before < 8 << 20
    assert array.sum() == 16 << 20
    assert resident("RssFile") - before > 32 << 20


def test_freed_memory_can_be_given_back_at_any_time() -> None:
    give_back_freed()
    give_back_freed()
