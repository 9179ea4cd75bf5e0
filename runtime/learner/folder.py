"""The state of a learner on disk: files that are written so that a kill between any two loses nothing."""

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sparcl_compile.interface import temporary
from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import CheckpointError
from sparcl_compile.interface.files import told
from sparcl_compile.runtime import checkpoint, tensor_files

PENDING = "pending.safetensors"
HASH = 16
"""Digits of the checksum in such a name."""
HALF_WRITTEN = re.compile(r"\.(samples-(?:[0-9a-f]{16}|HASH)\.safetensors)\.new\..*")
"""Files with the samples of a task before they are whole; Java does not know the checksum then."""


@dataclasses.dataclass(frozen=True, eq=False)
class Labelled:
    """Samples with labels.

    Attributes:
        x: raw [N, C, H, W].
        labels: int64 [N], places in ``names``.
        names: of classes.
        first: the number of the first sample, counted over all that were ever observed.
    """

    x: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    first: int = 0


class StateFolder:
    """The folder of one learner, which holds its lock.

    Attributes:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other learners from this folder, and remove what a killed one left half-written.

        Raises:
            CheckpointError: another learner has it; the message names it.
            WriteError: it cannot be written.
        """
        with checkpoint.held(self.path, "state"):
            half = (HALF_WRITTEN.fullmatch(name) for name in self._names())
            for name in {PENDING, *(found[1] for found in half if found)}:
                temporary.clear(self.path / name)
            yield

    def read(self, artifact: Artifact) -> checkpoint.Checkpoint | None:
        """Return the state, or None where there is none.

        Raises:
            CheckpointError: it is damaged, or of another artifact.
        """
        return checkpoint.read_learner(self.path, artifact) if checkpoint.exists(self.path) else None

    def write(self, arrays: Mapping[str, np.ndarray], progress: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
        """Write the state, and remove the samples of tasks that it does not name.

        Raises:
            WriteError: the file system refuses; the state before stays.
        """
        checkpoint.save(self.path, arrays, progress, identity, again=False)
        self.tidy(progress)

    def tidy(self, progress: Mapping[str, Any]) -> None:
        """Remove the samples of tasks other than the one under way, or of a state that a run has set aside."""
        checkpoint.tidy(self.path, progress)

    def _names(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir())

    def write_samples(self, samples: Labelled) -> str:
        """Write the samples of a task; return the file's name.

        Raises:
            WriteError: the file system refuses.
        """
        sealed = _sealed(samples)
        name = f"samples-{sealed.checksum[:HASH]}.safetensors"
        sealed.write(self.path / name)
        return name

    def read_samples(self, name: str) -> Labelled:
        """Return the samples of a task; raises CheckpointError where there are none, or they are damaged."""
        if not checkpoint.SAMPLES_FILE.fullmatch(name):
            raise CheckpointError(
                f"{self.path / checkpoint.FILE}: is damaged (it names {name!r}); {checkpoint.ANOTHER}"
            )
        if name not in self._names():
            raise CheckpointError(f"{self.path / name}: is missing; {checkpoint.ANOTHER}")
        return _read(self.path / name)

    def write_pending(self, samples: Labelled) -> None:
        """Write the observed samples that wait; the file goes where none do.

        Raises:
            WriteError: the file system refuses; the file before stays.
        """
        if len(samples.x):
            _sealed(samples).write(self.path / PENDING)
            return
        with told(self.path / PENDING):
            (self.path / PENDING).unlink(missing_ok=True)

    def read_pending(self) -> Labelled | None:
        """Return the observed samples that wait, or None; raises CheckpointError where they are damaged."""
        path = self.path / PENDING
        return _read(path) if path.exists() else None


def _sealed(samples: Labelled) -> tensor_files.Sealed:
    texts = {"names": json.dumps(samples.names), "first": str(samples.first)}
    return tensor_files.sealed({"x": samples.x, "labels": samples.labels}, texts)


def _read(path: Path) -> Labelled:
    arrays, texts = tensor_files.read(path, checkpoint.ANOTHER, ("names", "first"))
    try:
        names, first = json.loads(texts["names"]), int(texts["first"])
        x, labels = arrays.pop("x"), arrays.pop("labels")
        _check(x, labels, names, first)
    except (ValueError, KeyError, RecursionError) as error:
        raise CheckpointError(f"{path}: is damaged ({error}); {checkpoint.ANOTHER}") from error
    return Labelled(x, labels, tuple(names), first)


def _check(x: np.ndarray, labels: np.ndarray, names: Sequence[object], first: int) -> None:
    """Raise ValueError for tensors that are no samples, labels without a name, and a number below 0."""
    if x.ndim != 4 or x.dtype not in (np.uint8, np.float32) or labels.dtype != np.int64 or labels.shape != x.shape[:1]:
        raise ValueError("its tensors are no samples with labels")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or first < 0:
        raise ValueError("its names are no texts, or its first number is below 0")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(names):
        raise ValueError("a label has no name")
