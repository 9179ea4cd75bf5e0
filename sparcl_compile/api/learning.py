"""Training of an artifact, and predictions from the trained state."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from sparcl_compile.api.places import run_of
from sparcl_compile.interface.answers import TASK, Answers, answering
from sparcl_compile.interface.artifact import Artifact, check_outside, in_use, read_report
from sparcl_compile.interface.errors import DataError, FieldError
from sparcl_compile.interface.names import OWN_SCALE
from sparcl_compile.interface.program import Program
from sparcl_compile.interface.values import UnknownValue
from sparcl_compile.runtime import checkpoint as checkpoints
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.data.fitting import check_augment
from sparcl_compile.runtime.data.tables import Table, Tables
from sparcl_compile.runtime.driver.interpreter import Interpreter
from sparcl_compile.runtime.learner.forms import blocks_of
from sparcl_compile.runtime.reporting.points import Recorder
from sparcl_compile.runtime.reporting.progress import Reporter
from sparcl_compile.runtime.reporting.report import console
from sparcl_compile.runtime.runs.run import Run
from sparcl_compile.runtime.session.engine import Engine, Sizes
from sparcl_compile.runtime.session.running import running

ANSWER = "answer"
"""The block of a prediction."""


def learn(
    artifact: Artifact,
    config: RunConfig,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    reporter: Reporter | None = None,
    recorders: Sequence[Recorder] = (),
) -> dict[str, Any]:
    """Train an artifact on a stream of tasks.

    Args:
        artifact: as ``load`` or ``compile_model`` gives it.
        config: the data and the options of the run; without a learning rate the artifact's own, and with ``resume``
            that of the run.
        checkpoint: folder of the run's state, written after every epoch; ``ARTIFACT.run`` without it.
        resume: continue the run in that folder, to the same result as if it had not stopped.
        reporter: tells how far the run is; silent without it.
        recorders: hear of every epoch and task.

    Returns:
        The result, as ``sparcl-run --json`` writes it: accuracies in percent, sparsities, FLOPs, versions.

    Raises:
        DataError: the data cannot be read or do not fit the model.
        FieldError: the data have fewer classes than ``tasks``, the buffer does not fit into the memory, the
            augmentation is one for samples of another kind, ``checkpoint`` lies in an artifact, or no step with a limit
            depends on such a learning rate.
        ArtifactError: the artifact is being replaced, or was since it was loaded.
        CheckpointError: there is no run to resume, or it is another one, or another process runs in the folder.
        TrainingError: the loss is not a number; the state of the last good epoch is kept.
        WriteError: a checkpoint cannot be written.
    """
    folder = run_of(artifact.folder) if checkpoint is None else Path(checkpoint)
    check_outside(artifact.folder, folder, "checkpoint")
    check_augment(config.augment, artifact.manifest.model)
    config.check_rate(artifact.manifest.optimizer.step_limit)
    told = reporter or Reporter(console(), config.tasks, config.epochs, quiet=True)
    with in_use(artifact), running(artifact):
        run = Run(artifact, config, folder)
        with checkpoints.held(folder), told as shown:
            _introduce(run, artifact, config, resume, shown)
            return run.train(shown, recorders)


def _introduce(run: Run, artifact: Artifact, config: RunConfig, resume: bool, shown: Reporter) -> None:
    """Take up the run that is to be resumed, and tell what is to be known before the first step."""
    if resume:
        done, rate = run.resume(config.learning_rate), run.trainer.number("learning_rate")
        shown.resumed(done, rate)
        if run.is_finished and config.learning_rate not in (None, rate):
            shown.note(f"learning rate {config.learning_rate:g} comes too late, all epochs of the run are done")
    shown.classes(len(run.dataset.classes), artifact.manifest.model.classes)
    rate_notes = config.rate_notes(artifact.manifest.optimizer)
    for note in (*rate_notes, *_doubts(artifact, config.normalise), *run.dataset.notes):
        shown.note(note)


def _doubts(artifact: Artifact, normalise: str) -> tuple[str, ...]:
    """What the compilation found doubtful of how samples are fed, where the options leave that open."""
    if normalise != "auto":
        return ()
    return tuple(line for line in read_report(artifact.folder).remarks if line == OWN_SCALE)


def predict(
    artifact: Artifact,
    x: np.ndarray,
    checkpoint: str | Path | None = None,
    threads: int | None = None,
    task: int | None = None,
) -> np.ndarray:
    """Return the scores by which a run answers after learning, float32 [N, classes]; the highest one is the answer.

    They are the logits of the network, which ``export_model`` writes as well, but for two methods. iCaRL answers by the
    nearest mean of exemplars: its scores are negative squared distances, -1e9 for a class without exemplars, and the
    exported network gives other ones. PackNet has a network of each task, of which ``task`` names one.

    Args:
        artifact: as ``load`` or ``compile_model`` gives it.
        x: raw samples as the run has learned them: images [N, C, H, W], [N, H, W, C] or, grey, [N, H, W] of bytes or
            floats, vectors [N, D], sequences and volumes in the model's own axes; whole numbers (tokens) may have any
            type. They are normalised as the run's were.
        checkpoint: folder of the run; ``ARTIFACT.run`` without it.
        threads: of ONNX Runtime; all cores without it.
        task: a learned task, from 0, whose network is asked (PackNet); without it the network is asked as it stands,
            which is the last task's.

    Raises:
        FieldError: the artifact has one network for all tasks, or ``task`` is not learned yet.
        CheckpointError: there is no run, it is damaged, or it is that of another artifact.
        DataError: the samples are of another form than those that were learned.
    """
    folder = run_of(artifact.folder) if checkpoint is None else Path(checkpoint)
    found = checkpoints.read_run(folder, artifact)
    model = artifact.manifest.model
    with in_use(artifact), running(artifact):
        answers = _answers(artifact.manifest.program, task, found.progress["counters"]["task"])
        if len(x) == 0:
            return np.zeros((0, model.classes), np.float32)
        x = np.concatenate(blocks_of(x, model))
        _check_channels(x, len(found.arrays["data.mean"]), model.input_shape)
        engine = Engine(artifact, threads, Sizes(str(x.dtype)))
        engine.reset_all()
        read = {one.name for run in answers.runs for one in engine.spec(run.graph).inputs}
        engine.restore({name: array for name, array in found.arrays.items() if name in read})
        parts = list(_scores(engine, answers, x, {} if task is None else {TASK: task}))
    return np.concatenate(parts)


def _check_channels(x: np.ndarray, channels: int, taken: Sequence[int | None]) -> None:
    if x.shape[1] != channels:
        vectors = f"[N, {channels}] or " if tuple(taken) == (channels,) else ""
        raise DataError(
            f"the samples are {x.dtype} {list(x.shape)}; give {vectors}[N, {channels}, height, width] as the run has "
            "learned them"
        )


def _answers(program: Program, task: int | None, learned: int) -> Answers:
    """How the program answers; without a task by one network for all, where it has a network of each.

    Raises:
        FieldError: a task without a network of its own.
        UnknownValue: the program answers nothing.
    """
    answers = answering(program)
    if answers is None:
        raise UnknownValue("no graph gives the logits of its tests")
    by_task = any(TASK in run.feeds for run in answers.runs)
    if task is None:
        whole = (structs.replace(run, graph="eval", feeds={}) if TASK in run.feeds else run for run in answers.runs)
        return dataclasses.replace(answers, runs=tuple(whole))
    if not by_task:
        raise FieldError("task", task, "the artifact has one network for all tasks", "leave it out")
    if not 0 <= task < learned:
        raise FieldError("task", task, f"{learned} tasks are learned", f"give a number from 0 to {learned - 1}")
    return answers


def _scores(engine: Engine, answers: Answers, x: np.ndarray, given: Mapping[str, int]) -> Iterator[np.ndarray]:
    """The logits of raw samples, chunk by chunk."""
    program = structs.replace(engine.manifest.program, blocks={ANSWER: answers.runs})
    table = Table(x, np.zeros(len(x), np.int64), ())
    interpreter = Interpreter(engine, program, Tables(table), given)
    for rows in table.chunks(answers.at_most):
        interpreter.values[f"{answers.name}.raw"] = rows.raw
        interpreter.call(ANSWER)
        yield interpreter.array(f"{answers.name}.logits").copy()
