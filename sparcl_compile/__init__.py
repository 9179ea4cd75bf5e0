"""sparcl-compile: a compiler for sparse continual learning on edge devices.

The names below are the public interface; everything else may change. They are loaded when they are first used, so that
importing the package costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from sparcl_compile.interface.version import __version__

if TYPE_CHECKING:
    from sparcl_compile.api.compiling import compile_model
    from sparcl_compile.api.exporting import export_model
    from sparcl_compile.api.learner import Learner
    from sparcl_compile.api.learning import learn, predict
    from sparcl_compile.interface.artifact import load
    from sparcl_compile.runtime.config import RunConfig
    from sparcl_compile.settings.options import CompileOptions

_MODULES = {
    "CompileOptions": "settings.options",
    "Learner": "api.learner",
    "RunConfig": "runtime.config",
    "compile_model": "api.compiling",
    "export_model": "api.exporting",
    "learn": "api.learning",
    "load": "interface.artifact",
    "predict": "api.learning",
}
__all__ = [
    "CompileOptions",
    "Learner",
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
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
