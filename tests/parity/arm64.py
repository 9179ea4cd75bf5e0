"""The stock ONNX Runtime for arm64 Linux, in the emulated Python of `make test-arm64`."""

import re

from tests.parity.replayers import Replayer
from tests.runtime.kernels.arm64.library import FOLDER, ROOT, build
from tests.runtime.kernels.arm64.machine import Machine, check_tools

NAME = "Linux arm64, Python"
CONSTRAINTS = ROOT / "constraints.txt"
VERSION = "".join(re.findall(r"^onnxruntime==(.*)$", CONSTRAINTS.read_text(encoding="utf-8"), re.MULTILINE))
"""Of ONNX Runtime."""


def replayer() -> Replayer:
    """It, with the kernel library built for arm64.

    Raises:
        Unready: a tool is missing, or a download or a build fails.
    """
    check_tools()
    machine = Machine(FOLDER, CONSTRAINTS)
    machine.prepare()
    return Replayer(NAME, VERSION, tuple(machine.python("-m", "tests.parity.replay")), build(), "")
