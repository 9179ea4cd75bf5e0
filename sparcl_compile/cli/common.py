"""Helpers that the commands share."""

import logging
import warnings

from sparcl_compile.cli.loudness import is_verbose


def silence_libraries() -> None:
    """Turn off warnings and logs of libraries about things that no user of this tool can change, but for --verbose."""
    if is_verbose():
        return
    warnings.filterwarnings("ignore")
    logging.getLogger("onnx_ir").setLevel(logging.CRITICAL)
