"""sparcl-compile: a compiler for sparse continual learning on edge devices.

The names below are the public interface; everything else may change. They are loaded when they are first used, so that
importing the package costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from sparcl_compile.interface.version import __version__

if TYPE_CHECKING:
    from sparcl_compile.api import CompileOptions, RunConfig, compile_model, export_model, learn, load, predict

__all__ = [
    "CompileOptions",
    "RunConfig",
    "__version__",
    "compile_model",
    "export_model",
    "learn",
    "load",
    "predict",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module("sparcl_compile.api"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
