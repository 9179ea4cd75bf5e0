"""The library of sparse kernels that the compiler differentiates with: the one that the runtime loads."""

import ctypes
import dataclasses
from pathlib import Path

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.settings.options import CompileOptions

MASKED_FORM = "the masked form, the same method, equal but for rounding, which training can amplify"
"""The form that is compiled where the kernels are missing, and how it learns."""


def without_library(options: CompileOptions) -> tuple[CompileOptions, str]:
    """The options as they are; without a library to compress with, those of the masked form, and the reason."""
    if not options.compress or kernels.library() is not None:
        return options, ""
    masked = dataclasses.replace(options, compress=False, measure_kernels=False, activations="f32")
    return masked, kernels.reason()


def installed() -> Path | None:
    """Return the path of the library, or None where it was not built."""
    return kernels.library()


def library() -> Path:
    """Return the path of the library; raises FieldError where it was not built."""
    found = kernels.library()
    if found is None:
        raise FieldError("compress", None, kernels.reason(), "leave it out for the masked form")
    return found


def why_missing() -> str:
    """One line that says why there is none; empty where there is one."""
    return kernels.reason()


def instructions(path: Path) -> str:
    """The name of the SIMD instructions that a library computes with on this machine."""
    ask = ctypes.CDLL(str(path)).SparclTarget
    ask.restype = ctypes.c_char_p
    return str(ask().decode())
