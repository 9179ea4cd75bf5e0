"""One run of a grid, in whatever process it is: compile the model and let the artifact learn."""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from sparcl_compile.api.compiling import compile_model
from sparcl_compile.api.learning import learn
from sparcl_compile.bench.churn import moved
from sparcl_compile.bench.jobs import Job
from sparcl_compile.bench.results import Result
from sparcl_compile.bench.settings import compile_options, named, run_config
from sparcl_compile.interface.artifact import Artifact, load
from sparcl_compile.interface.errors import (
    ArtifactError,
    BusyError,
    CheckpointError,
    FieldError,
    GridError,
    SparclError,
    TrainingError,
)
from sparcl_compile.runtime import checkpoint as checkpoints
from sparcl_compile.runtime.config import RunConfig, batch_size_for
from sparcl_compile.runtime.data.fitting import load_for
from sparcl_compile.runtime.data.sources import HELD_OUT
from sparcl_compile.runtime.reporting.progress import Reporter
from sparcl_compile.runtime.reporting.report import console
from sparcl_compile.runtime.session.tensors import stored

MODEL = "model.sparcl"
"""The compiled model, in the folder of a run."""


class Orphan(Reporter):
    """A silent reporter that ends a worker whose bench was killed: nobody takes the result, and another may resume."""

    def __init__(self, config: RunConfig, owner: int) -> None:
        super().__init__(console(), config.tasks, config.epochs, quiet=True)
        self._owner = owner

    def step(self, task: int, epoch: int, loss: float, done: int, total: int, sparsity: float) -> None:
        """Look after every step."""
        if self._owner not in (os.getpid(), os.getppid()):
            os._exit(1)


def perform(job: Job, threads: int, work: Path | None, owner: int) -> dict[str, Any]:
    """Learn one run, or learn it to its end where an earlier process has begun it.

    Args:
        job: the run.
        threads: of ONNX Runtime.
        work: the folder in which the run's state is kept until it is finished; None for one that goes with this call,
            on a machine that another bench does not come back to.
        owner: the process of the bench.

    Returns:
        The outcome as JSON-ready data: the job's settings, the result of the run, or the line of its failure.

    Raises:
        GridError: the model cannot be compiled, or the data do not fit; a loss that is no number is a failure of
            this run alone.
    """
    with _folder(job, work) as folder, _told_by_row(job, folder):
        artifact = _artifact(job, folder)
        config = _config(job, artifact, threads)
        reporter = None if work is None else Orphan(config, owner)
        run = folder / "run"
        try:
            result = learn(artifact, config, run, checkpoints.exists(run), reporter)
        except TrainingError as error:
            return _failed(job, named(error.fault).replace(f"{folder}/", ""))
        lacking = _lacking(result)
        if lacking:
            return _failed(job, lacking)
        churn = _churn(artifact, run)
    result["config"]["data"] = job.cell.data
    return {**_told(job), "failure": None, "result": result, "churn": churn}


@contextlib.contextmanager
def _told_by_row(job: Job, folder: Path) -> Iterator[None]:
    """Say of which row a fault is, and what mends it in a grid."""
    begun = (folder / MODEL).exists()
    try:
        yield
    except SparclError as error:
        told = _told_in_a_grid(error, folder if begun else None)
        raise GridError(f"row {job.cell.row} ({job.cell.model}, {job.cell.data}): {told}") from error


def _told_in_a_grid(error: SparclError, begun: Path | None) -> str:
    """The line of an error, with the names of a grid's options.

    Args:
        error: of a command that has other options.
        begun: the folder that an earlier process has left of the run, which is mended by removing it; None for none.
    """
    if isinstance(error, FieldError):
        return named(error.message)
    fault, _, mend = named(str(error)).rpartition("; ")
    if isinstance(error, BusyError):
        return f"{fault}; wait for its end"
    if isinstance(error, (ArtifactError, CheckpointError)) and begun is not None:
        return f"{fault}; remove {begun}, and the run begins anew"
    return "; ".join(part for part in (fault, mend) if part)


def _config(job: Job, artifact: Artifact, threads: int) -> RunConfig:
    """The options of the run; a trial of other epochs than the run it chooses for has the batches of that one."""
    source = f"{HELD_OUT}{job.source}" if job.trial else job.source
    config = run_config(job.cell.running, source, job.rate, job.seed, threads)
    if job.planned_epochs is None:
        return config
    samples = load_for(source, artifact.manifest.model).training_samples
    size = batch_size_for(samples * job.planned_epochs / config.tasks)
    return dataclasses.replace(config, batch_size=size)


def _failed(job: Job, failure: str) -> dict[str, Any]:
    return {**_told(job), "failure": failure, "result": None}


def _lacking(result: Mapping[str, Any]) -> str:
    """The first number that a table needs and a result has not, such as the accuracy on no samples; empty for none."""
    try:
        msgspec.convert(result, Result)
    except msgspec.ValidationError as error:
        return f"the result lacks a number ({error})"
    return ""


def _churn(artifact: Artifact, run: Path) -> dict[str, float]:
    first = dict(stored(artifact.folder / artifact.manifest.state_file))
    return moved(artifact.manifest.weights, first, checkpoints.read_run(run, artifact).arrays)


@contextlib.contextmanager
def _folder(job: Job, work: Path | None) -> Iterator[Path]:
    if work is not None:
        yield work / job.name
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _artifact(job: Job, folder: Path) -> Artifact:
    """The compiled model; where it is there already, the run goes on with that."""
    place = folder / MODEL
    if not place.exists():
        compile_model(job.model, compile_options(job.cell.compiling, job.seed), place)
    return load(place)


def _told(job: Job) -> dict[str, Any]:
    cell = job.cell
    return {
        "name": job.name,
        "row": cell.row,
        "model": cell.model,
        "data": cell.data,
        "compile": dict(cell.compiling),
        "run": dict(cell.running),
        "learning_rate": job.rate,
        "seed": job.seed,
        "trial": job.trial,
    }
