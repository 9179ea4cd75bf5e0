"""Without a library these tests are skipped, or fail where SPARCL_KERNELS_REQUIRED is set (continuous integration)."""

import ctypes
import os
from collections.abc import Iterator

import pytest

from sparcl_compile.runtime.session import kernel_library as kernels


@pytest.fixture(autouse=True)
def _library() -> None:
    if kernels.library() is not None:
        return
    if os.environ.get("SPARCL_KERNELS_REQUIRED"):
        pytest.fail(kernels.reason())
    pytest.skip(kernels.reason())


@pytest.fixture
def loaded() -> Iterator[ctypes.CDLL]:
    """The library; its best instruction set and the machine's caches are in use again behind the test."""
    found = ctypes.CDLL(str(kernels.library()))
    found.SparclTarget.restype = ctypes.c_char_p
    best = found.SparclTarget()
    yield found
    assert found.SparclUseTarget(best) == 1
    found.SparclUseCaches(ctypes.c_int64(0), ctypes.c_int64(0))
