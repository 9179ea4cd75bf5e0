"""What the commands share."""

import logging
import warnings


def silence_libraries() -> None:
    """Libraries warn and log about things that no user of this tool can change."""
    warnings.filterwarnings("ignore")
    logging.getLogger("onnx_ir").setLevel(logging.CRITICAL)
