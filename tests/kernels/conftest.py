"""Without a library the kernels' tests are skipped; SPARCL_KERNELS_REQUIRED makes them fail, in continuous integration."""

import os

import pytest

from sparcl_compile.runtime import kernels


@pytest.fixture(autouse=True)
def _library() -> None:
    if kernels.library() is not None:
        return
    if os.environ.get("SPARCL_KERNELS_REQUIRED"):
        pytest.fail(kernels.reason())
    pytest.skip(kernels.reason())
