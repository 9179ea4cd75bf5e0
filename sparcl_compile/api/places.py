"""The default place of a result: beside its source."""

import os
from pathlib import Path

from sparcl_compile.interface.errors import OptionError


def beside(path: Path, suffix: str, replacement: str) -> Path:
    """Return the path with its suffix replaced; any other ending stays and the replacement is appended.

    Raises:
        OptionError: the path has no last part to change, as ``/``.
    """
    whole = path if path.name not in ("", "..") else Path(os.path.realpath(path))
    if not whole.name:
        raise OptionError(f"{path}: is a directory; name a file or folder below it")
    return whole.with_name(whole.name.removesuffix(suffix) + replacement)


def artifact_of(model: Path) -> Path:
    """Return the folder of the artifact that a model is compiled to."""
    return beside(model, ".onnx", ".sparcl")


def run_of(artifact: Path) -> Path:
    """Return the folder of an artifact's run: its checkpoints."""
    return beside(artifact, ".sparcl", ".run")


def export_of(artifact: Path) -> Path:
    """Return the file that an artifact's learned model is exported to."""
    return beside(artifact, ".sparcl", ".learned.onnx")
