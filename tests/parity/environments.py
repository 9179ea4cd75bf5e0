"""Environments of Python with a stock ONNX Runtime and without torch, onnx and the compiler's other needs."""

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.runtime.kernels.arm64.machine import Unready, call

NEEDS = ("click", "msgspec", "numpy", "onnxruntime", "pillow", "platformdirs", "rich", "safetensors", "scikit-learn")
"""The packages that ``sparcl-run`` with the digits needs."""


@dataclasses.dataclass(frozen=True)
class Environment:
    """A version of ONNX Runtime and where it runs.

    Attributes:
        onnxruntime: its version.
        pythons: versions of Python that have a wheel of it; the first that is installed is taken.
        instead: versions of other packages, where those of constraints.txt do not suit.
    """

    onnxruntime: str
    pythons: Sequence[str]
    instead: tuple[str, ...] = ()


OLDEST = Environment("1.18.0", ("3.11", "3.12"), ("numpy==1.26.4",))
"""The artifacts' files have version 10 of ONNX's format, which no older one reads; it was built for NumPy 1."""
NEWEST = Environment("1.32.0", ("3.14", "3.13", "3.12", "3.11"))
ENVIRONMENTS = (OLDEST, NEWEST)
"""The oldest and the newest stock ONNX Runtime that are supported."""


def usable(python: str) -> bool:
    """Whether a command is a Python that can make environments; a name alone may be a stub of a version manager."""
    found = shutil.which(python)
    return found is not None and subprocess.run([found, "-c", "import ensurepip"], capture_output=True).returncode == 0


def python_for(environment: Environment, is_usable: Callable[[str], bool] = usable) -> str:
    """The version of Python to take.

    Raises:
        Unready: there is none.
    """
    for version in environment.pythons:
        if is_usable(f"python{version}"):
            return version
    raise Unready(f"no Python {' or '.join(environment.pythons)} with the venv module on the PATH")


def missing(environment: Environment, is_usable: Callable[[str], bool] = usable) -> str:
    """Which versions of Python were passed over; empty where the first was there."""
    taken = environment.pythons.index(python_for(environment, is_usable))
    return f"no Python {' or '.join(environment.pythons[:taken])}" if taken else ""


def constraints(text: str, environment: Environment) -> str:
    """The lines of constraints.txt with this environment's own versions in their place."""
    own = (f"onnxruntime=={environment.onnxruntime}", *environment.instead)
    names = {line.partition("==")[0] for line in own}
    return "\n".join([*(line for line in text.splitlines() if line.partition("==")[0] not in names), *own, ""])


def prepared(environment: Environment, folder: Path, pinned: Path) -> Path:
    """The Python of an environment below a folder, made if it is not there.

    Raises:
        Unready: there is no Python for it, or the installation fails.
    """
    version = python_for(environment)
    target = folder / f"{environment.onnxruntime}-python{version}"
    python = target / "bin" / "python"
    complete = target / "complete"
    if complete.exists():
        return python
    call(f"python{version}", "-m", "venv", "--clear", target)
    limits = target / "constraints.txt"
    limits.write_text(constraints(pinned.read_text(encoding="utf-8"), environment), encoding="utf-8")
    call(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", limits, *NEEDS)
    complete.touch()
    return python


def installed() -> Path:
    """The Python that runs this."""
    return Path(sys.executable)
