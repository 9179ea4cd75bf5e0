"""Helpers that the commands share."""

import logging
import warnings


def silence_libraries() -> None:
    """Turn off warnings and logs of libraries about things that no user of this tool can change."""
    warnings.filterwarnings("ignore")
    logging.getLogger("onnx_ir").setLevel(logging.CRITICAL)
