"""Saving and restoring everything a run needs, in one file that appears whole or not at all."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sparcl_compile.errors import CheckpointError
from sparcl_compile.files import write_atomically

FILE = "state.safetensors"
PREVIOUS = "state.previous.safetensors"
VERSION = "1"


def save(folder: Path, arrays: dict[str, np.ndarray], progress: dict[str, Any], identity: dict[str, Any]) -> None:
    """Write a checkpoint.

    Args:
        folder: the checkpoint folder; made when missing.
        arrays: every tensor of the run.
        progress: JSON-ready counters and results so far.
        identity: JSON-ready description of the run, compared on resume.

    Raises:
        WriteError: the file cannot be written; the one before it stays.
    """
    metadata = {"version": VERSION, "progress": json.dumps(progress), "identity": json.dumps(identity)}
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_atomically(folder / FILE, lambda path: save_file(whole, path, metadata))


def exists(folder: Path) -> bool:
    """Whether the folder holds a checkpoint."""
    return (folder / FILE).is_file()


def set_aside(folder: Path) -> None:
    """Keep the checkpoint of an earlier run under another name, so that starting over loses nothing."""
    if exists(folder):
        (folder / FILE).replace(folder / PREVIOUS)


def load(folder: Path, identity: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a checkpoint of the same run.

    Raises:
        CheckpointError: there is none, it is damaged, or it belongs to a run with other options.
    """
    path = folder / FILE
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no checkpoint to resume; run without --resume to start")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        saved, progress = json.loads(metadata["identity"]), json.loads(metadata["progress"])
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise CheckpointError(f"{path}: is damaged ({error}); start again without --resume") from error
    _compare(path, saved, identity)
    return arrays, progress


def _compare(path: Path, saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    differing = [key for key in {**saved, **wanted} if saved.get(key) != wanted.get(key)]
    if not differing:
        return
    key = differing[0]
    raise CheckpointError(
        f"{path}: belongs to a run with {key} {saved.get(key)!r}, this one has {wanted.get(key)!r}; "
        "give the same options, or another --checkpoint folder"
    )
