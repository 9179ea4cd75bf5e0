"""The library of sparse kernels that the compiler differentiates with: the one that the runtime loads."""

from pathlib import Path

from sparcl_compile.errors import OptionError
from sparcl_compile.runtime import kernels


def library() -> Path:
    """Where it is; raises OptionError when it was not built."""
    found = kernels.library()
    if found is None:
        raise OptionError(f"--compress: {kernels.reason()}; leave it out for the masked form")
    return found
