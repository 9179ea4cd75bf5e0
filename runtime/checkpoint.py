"""Saving and restoring everything a run needs, in one file that appears whole or not at all."""

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparcl_compile.interface import locks, temporary
from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import BusyError, CheckpointError
from sparcl_compile.interface.files import check_writable, readable
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.runtime import tensor_files
from sparcl_compile.runtime.progress import check_arrays, check_place, check_progress, split_kept

FILE = "state.safetensors"
PREVIOUS = "state.previous.safetensors"
SAMPLES_FILE = re.compile(r"samples-[0-9a-f]{16}\.safetensors")
"""The names of files with the samples of a learner's task."""
TEXTS = ("progress", "identity")
AGAIN = "start the run again, without `resume`"
ANOTHER = "restore it from a copy, or name another folder as `state`"
SAMPLES, DATA = "samples", "data"
BY_CHECKSUM = {
    "artifact": "of another artifact, or of this one before it was compiled otherwise; give the artifact that was run",
    SAMPLES: "that began with other samples: {data} has changed since; give it as it was",
}
"""What is said where two checksums differ, which tell a user nothing."""


@dataclasses.dataclass(frozen=True, eq=False)
class Checkpoint:
    """The content of a checkpoint.

    Attributes:
        arrays: every tensor of the run.
        progress: counters and results so far.
        identity: of the run.
        kept: the values of an epoch under way, which a learner may have.
    """

    arrays: dict[str, np.ndarray]
    progress: dict[str, Any]
    identity: dict[str, Any]
    kept: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


def save(
    folder: Path,
    arrays: Mapping[str, np.ndarray],
    progress: Mapping[str, Any],
    identity: Mapping[str, Any],
    again: bool = True,
) -> None:
    """Write a checkpoint.

    Args:
        folder: the checkpoint folder; made when missing.
        arrays: every tensor of the run.
        progress: JSON-ready counters and results so far.
        identity: JSON-ready description of the run, compared on resume.
        again: whether one without a finished epoch begins a run, and sets what an earlier run or a learner left aside
            under another name, so that starting over loses nothing.

    Raises:
        WriteError: the file cannot be written; the one before it stays.
    """
    sealed = tensor_files.sealed(arrays, {"progress": json.dumps(progress), "identity": json.dumps(identity)})
    path = folder / FILE
    begins = again and _begins(progress) and exists(folder) and not _is_beginning(path)
    sealed.write(path, folder / PREVIOUS if begins else None)
    if begins:
        tidy(folder, progress)


def tidy(folder: Path, progress: Mapping[str, Any]) -> None:
    """Remove the samples of a learner's tasks that neither this progress names nor the state that is set aside."""
    kept = _task_file(progress)
    left = [path for path in folder.iterdir() if SAMPLES_FILE.fullmatch(path.name) and path.name != kept]
    aside = _aside(folder / PREVIOUS) if left else {}
    for path in left:
        if aside is not None and path.name != _task_file(aside):
            path.unlink(missing_ok=True)


def _aside(path: Path) -> dict[str, Any] | None:
    """The progress of the state that is set aside; None where it cannot be read, which may name anything."""
    try:
        return _parsed(path).progress if _is_there(path) else {}
    except CheckpointError:
        return None


def _task_file(progress: Mapping[str, Any]) -> object:
    learning = progress.get("learning")
    return learning.get("file") if isinstance(learning, dict) else None


def exists(folder: Path) -> bool:
    """Whether the folder holds a checkpoint."""
    return _is_there(folder / FILE)


def _is_there(path: Path) -> bool:
    with readable(path, CheckpointError):
        return path.is_file()


@contextlib.contextmanager
def held(folder: Path, field: str = "checkpoint") -> Iterator[None]:
    """Keep other processes from running in the folder, and remove what a killed one may have left half-written.

    Args:
        folder: the checkpoint folder.
        field: its name in messages.

    Raises:
        BusyError: another process runs in it.
        WriteError: checkpoints cannot be written.
    """
    with locks.writing(folder / locks.FILE, folder, lambda holders: _in_use(folder, holders, field)):
        check_writable(folder / FILE)
        for name in (FILE, PREVIOUS):
            temporary.clear(folder / name)
        yield


def _in_use(folder: Path, holders: str, field: str) -> BusyError:
    return BusyError(f"{folder}: is in use by {holders}; wait for its end, or name another folder as `{field}`")


def _begins(progress: Mapping[str, Any]) -> bool:
    """Whether no epoch is finished, and no learner has a task under way."""
    counters, learning = progress.get("counters"), progress.get("learning")
    return isinstance(counters, dict) and bool(counters.get("task") == counters.get("epoch") == 0) and learning is None


def _is_beginning(path: Path) -> bool:
    """Whether a checkpoint holds nothing that was learned."""
    try:
        return _begins(_parsed(path).progress)
    except CheckpointError:
        return False


def load(folder: Path, identity: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a checkpoint of the same run.

    Raises:
        CheckpointError: there is none, it is damaged, or it belongs to a run with other options.
    """
    path = folder / FILE
    if not _is_there(path):
        raise CheckpointError(f"{path}: there is no checkpoint to resume; start the run without `resume`")
    found = _parsed(path)
    _compare(path, found.identity, identity)
    return found.arrays, found.progress


def read(folder: Path) -> Checkpoint:
    """Read a checkpoint of any run, to look at it.

    Raises:
        CheckpointError: there is none, it is damaged or of another version.
    """
    path = folder / FILE
    if not _is_there(path):
        raise CheckpointError(f"{path}: there is no checkpoint; make one with sparcl-run")
    return _parsed(path)


def read_run(folder: Path, artifact: Artifact) -> Checkpoint:
    """Read the checkpoint of a run of this artifact.

    Raises:
        CheckpointError: there is none, it is damaged, or it is of a run of another artifact.
    """
    if not exists(folder):
        raise CheckpointError(
            f"{folder}: holds no run; run sparcl-run {artifact.folder} first, or give `checkpoint`, "
            "or `initial` to export the untrained state"
        )
    found = read(folder)
    if found.identity.get("artifact") != artifact.identity:
        raise CheckpointError(
            f"{folder}: is a run of another artifact than {artifact.folder}; "
            "give the artifact that was run, or its run as `checkpoint`"
        )
    return _checked(folder / FILE, found, artifact.manifest, {}, AGAIN)


def read_learner(folder: Path, artifact: Artifact) -> Checkpoint:
    """Read the state of a learner of this artifact, or of a finished run of it.

    A run that is not finished has classes and tasks that nothing has learned yet, and a learner would count them.

    Raises:
        CheckpointError: it is damaged, of another artifact, or of a run that is not finished.
    """
    found = _parsed(folder / FILE, ANOTHER)
    if found.identity.get("artifact") != artifact.identity:
        raise CheckpointError(
            f"{folder}: is a state of another artifact than {artifact.folder}; give that artifact, or another folder "
            "as `state`"
        )
    found = _checked(folder / FILE, found, artifact.manifest, {}, ANOTHER)
    task, tasks = found.progress["counters"]["task"], found.identity.get("tasks")
    if isinstance(tasks, int) and task < tasks and not is_learners(found):
        raise CheckpointError(
            f"{folder}: is a run that has learned {task} of its {tasks} tasks; finish it with sparcl-run --resume, or "
            "name another folder as `state`"
        )
    return found


def is_learners(found: Checkpoint) -> bool:
    """Whether a learner has gone on with a run: it has a task under way, observed samples, or a task more."""
    progress, tasks = found.progress, found.identity.get("tasks")
    more = isinstance(tasks, int) and progress["counters"]["task"] > tasks
    return progress["learning"] is not None or progress["taken"] > 0 or more


def load_run(
    folder: Path, identity: dict[str, Any], manifest: Manifest, lengths: Mapping[str, int]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the checkpoint of the same run, to go on with it.

    Args:
        folder: the checkpoint folder.
        identity: that of the run.
        manifest: of its artifact.
        lengths: those of the state that the run knows.

    Raises:
        CheckpointError: as ``load``, its content is not what the manifest says, or a learner has gone on with it.
    """
    path, (arrays, progress) = folder / FILE, load(folder, identity)
    found = _checked(path, Checkpoint(arrays, progress, identity), manifest, lengths, AGAIN)
    if is_learners(found):
        mend = "go on with `Learner.open`, or start the run again, without `resume`"
        raise CheckpointError(f"{path}: a learner has gone on with this run; {mend}")
    with _undamaged(path, AGAIN):
        check_place(found.progress, identity, manifest.program)
    return found.arrays, found.progress


def _checked(path: Path, found: Checkpoint, manifest: Manifest, lengths: Mapping[str, int], mend: str) -> Checkpoint:
    """A right checksum says that nothing changed since it was written, and nothing of who wrote it."""
    with _undamaged(path, mend):
        arrays, kept = split_kept(found.arrays, manifest.program)
        check_arrays(arrays, manifest.state, lengths)
        check_progress(found.progress, manifest.program)
    return dataclasses.replace(found, arrays=arrays, kept=kept)


@contextlib.contextmanager
def _undamaged(path: Path, mend: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise CheckpointError(f"{path}: is damaged ({error}); {mend}") from error


def _parsed(path: Path, mend: str = AGAIN) -> Checkpoint:
    arrays, texts = tensor_files.read(path, mend, TEXTS)
    try:
        progress, identity = json.loads(texts["progress"]), json.loads(texts["identity"])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: is damaged ({error}); {mend}") from error
    if not isinstance(progress, dict) or not isinstance(identity, dict):
        raise CheckpointError(f"{path}: is damaged (it holds no run); {mend}")
    return Checkpoint(arrays, progress, identity)


def _compare(path: Path, saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    differing = [key for key in {**saved, **wanted} if saved.get(key) != wanted.get(key)]
    if saved.get(SAMPLES) == wanted.get(SAMPLES) and _kind(saved) == _kind(wanted):
        differing = [key for key in differing if key != DATA]
    if not differing:
        return
    if DATA in wanted and DATA not in saved:
        mend = "go on with `Learner.open`, or name another folder as `checkpoint`"
        raise CheckpointError(f"{path}: is the state of a learner; {mend}")
    key = min(differing, key=lambda one: one == SAMPLES)  # other samples are told by the option, where that differs
    name = "tasks" if key == "task_classes" else key
    was, now = (one.get(key) or one.get(name) for one in (saved, wanted))
    told = f"with `{name}` {was!r}, this one has {now!r}; give the same options"
    if key in BY_CHECKSUM:
        told = BY_CHECKSUM[key].format(data=wanted.get(DATA))
    raise CheckpointError(f"{path}: belongs to a run {told}, or another folder as `checkpoint`")


def _kind(identity: Mapping[str, Any]) -> str:
    """The data source without its place: the same samples may lie elsewhere, but other sources augment otherwise."""
    return str(identity.get(DATA)).rpartition(":")[0]
