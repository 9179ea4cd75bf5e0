import pytest

from sparcl_compile.runtime import kernels


@pytest.fixture(autouse=True)
def _library() -> None:
    if kernels.library() is None:
        pytest.skip(kernels.reason())
