"""Finds the library of sparse kernels, says why there is none, and registers it with a session (docs/kernels.md)."""

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

ENVIRONMENT = "SPARCL_KERNELS"
"""Environment variable with the path of a library in place of the installed one; if empty, there is none."""

MISSING = (
    "the sparse kernels were not built: install a C++17 compiler, CMake and Google Highway's headers (Debian: "
    "g++ cmake libhwy-dev), then install sparcl-compile again"
)


def _candidates() -> list[Path]:
    named = os.environ.get(ENVIRONMENT)
    if named is not None:
        return [Path(named)] if named else []
    return [
        path for path in sorted(Path(__file__).parent.glob("_kernels*")) if path.suffix in {".so", ".dylib", ".pyd"}
    ]


@cache
def _find() -> tuple[Path | None, str]:
    """The usable library, or None and the reason."""
    reason = f"the sparse kernels are switched off by {ENVIRONMENT}" if os.environ.get(ENVIRONMENT) == "" else MISSING
    for path in _candidates():
        try:
            ctypes.CDLL(str(path)).RegisterCustomOps  # noqa: B018  # looks the symbol up
        except (OSError, AttributeError) as error:
            reason = f"{path}: not a usable kernel library ({error})"
            continue
        return path, ""
    return None, reason


def library() -> Path | None:
    """The kernel library, or None where there is no usable one; `reason` says why."""
    return _find()[0]


def reason() -> str:
    """One line that says why there is no library; empty where there is one."""
    return _find()[1]


def register(session_options: Any) -> bool:
    """Make the ops of the domain `sparcl` known to a session.

    Args:
        session_options: `onnxruntime.SessionOptions` of ONNX Runtime 1.17 or newer, stock or training build.

    Returns:
        Whether there is a library; without one nothing happens.
    """
    path = library()
    if path is None:
        return False
    session_options.register_custom_ops_library(str(path))
    return True
