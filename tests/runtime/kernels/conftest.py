"""Without a library these tests are skipped, or fail where SPARCL_KERNELS_REQUIRED is set (continuous integration)."""

import os

import pytest

from sparcl_compile.runtime.session import kernel_library as kernels


@pytest.fixture(autouse=True)
def _library() -> None:
    if kernels.library() is not None:
        return
    if os.environ.get("SPARCL_KERNELS_REQUIRED"):
        pytest.fail(kernels.reason())
    pytest.skip(kernels.reason())
