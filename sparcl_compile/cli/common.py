"""What the commands share."""

import logging
import warnings
from pathlib import Path

from sparcl_compile.interface.errors import OptionError


def beside(path: Path, suffix: str, replacement: str) -> Path:
    """The path with its suffix replaced; any other ending stays and the replacement is appended.

    Raises:
        OptionError: the path has no last part to change, as ``/``.
    """
    whole = path if path.name not in ("", "..") else path.resolve()
    if not whole.name:
        raise OptionError(f"{path}: is a directory; name a file or folder below it")
    return whole.with_name(whole.name.removesuffix(suffix) + replacement)


def silence_libraries() -> None:
    """Libraries warn and log about things that no user of this tool can change."""
    warnings.filterwarnings("ignore")
    logging.getLogger("onnx_ir").setLevel(logging.CRITICAL)
