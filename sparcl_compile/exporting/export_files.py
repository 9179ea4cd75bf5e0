"""Checks the place of an exported model, and makes the content of its files."""

import os
from pathlib import Path

from sparcl_compile.compiling.ort_format import convert
from sparcl_compile.interface.artifact import Artifact, check_outside
from sparcl_compile.interface.errors import FieldError, WriteError
from sparcl_compile.interface.files import check_name, check_writable, readable, sha256

SUFFIX = ".onnx"
OUTPUT = "output"
"""The field that names the file."""


def check_place(target: Path, artifact: Artifact) -> None:
    """Refuse a target that would destroy something, before any work.

    Raises:
        FieldError: not the name of an .onnx file, in an artifact, or the model that the artifact was compiled from.
        WriteError: it cannot be written.
    """
    check_name(target, SUFFIX, OUTPUT)
    check_outside(artifact.folder, target, OUTPUT)
    if os.path.exists(target) and _sum(target) == artifact.manifest.model.source_sha256:
        raise FieldError(OUTPUT, target, "is the model that the artifact was compiled from", "name another file")
    check_writable(target)


def _sum(target: Path) -> str:
    with readable(target, WriteError, plain=True):
        return sha256(target)


def contents(onnx: bytes, target: Path, ort_format: bool) -> dict[Path, bytes]:
    """The bytes of every file to write, the .onnx file first; raises ModelError when ORT cannot convert it."""
    files = {target: onnx}
    if ort_format:
        files.update({target.with_suffix(suffix): made for suffix, made in convert(onnx, target.stem).items()})
    for path in files:
        if os.path.isdir(path):
            raise FieldError(OUTPUT, target, f"{path} is a folder", "name another file")
    return files
