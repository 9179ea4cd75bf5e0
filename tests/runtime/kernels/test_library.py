"""The search for the library, and its content."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from sparcl_compile.runtime.session import kernel_library as kernels
from tests.runtime.kernels.sparse import Case
from tests.runtime.kernels.test_sparse_conv import feeds, sparse


def ask(expression: str, library: str) -> str:
    """Run a fresh process with SPARCL_KERNELS and return what it prints."""
    code = f"import sparcl_compile.runtime.session.kernel_library as k; print(({expression}))"
    environment = {**os.environ, kernels.ENVIRONMENT: library}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, text=True, capture_output=True, check=True
    ).stdout


def test_the_library_registers() -> None:
    assert kernels.reason() == ""
    assert kernels.register(onnxruntime.SessionOptions())


def test_a_named_library_is_taken() -> None:
    assert ask("k.library()", str(kernels.library())).strip() == str(kernels.library())


def test_an_unusable_library_is_not(tmp_path: Path) -> None:
    broken = tmp_path / "broken.so"
    broken.write_text("not a library")
    assert ask("k.library(), k.register(None)", str(broken)).strip() == "(None, False)"
    assert "broken.so: not a usable kernel library" in ask("k.reason()", str(broken))


def test_a_library_of_another_kind_is_not() -> None:
    import _ctypes

    assert "not a usable kernel library" in ask("k.reason()", _ctypes.__file__)


def test_the_kernels_can_be_switched_off() -> None:
    assert (
        ask("k.library(), k.reason()", "").strip() == "(None, 'the sparse kernels are switched off by SPARCL_KERNELS')"
    )


@pytest.mark.parametrize("name", [b"AVX2", b"SCALAR", b"EMU128", b"SSE2"])
def test_every_instruction_set_agrees(loaded: ctypes.CDLL, name: bytes) -> None:
    case = Case(37, 20, 24, 9, 11)
    best = sparse(case, feeds(case))
    if not loaded.SparclUseTarget(name):
        pytest.skip(f"{name.decode()} is not in this build")
    # Products are rounded before they are added where there is no fused multiply-add.
    np.testing.assert_allclose(sparse(case, feeds(case)), best, rtol=0, atol=2e-5)


def test_an_unknown_instruction_set_is_refused(loaded: ctypes.CDLL) -> None:
    assert loaded.SparclUseTarget(b"MMX") == 0
