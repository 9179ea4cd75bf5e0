"""Training of an artifact, and predictions from the trained state."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sparcl_compile.api.places import run_of
from sparcl_compile.interface.artifact import Artifact, check_outside, in_use
from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime import checkpoint as checkpoints
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.data.arrange import FORMS, in_model_axes
from sparcl_compile.runtime.data.fitting import check_augment
from sparcl_compile.runtime.data.kinds import as_samples
from sparcl_compile.runtime.reporting.points import Recorder
from sparcl_compile.runtime.reporting.progress import Reporter
from sparcl_compile.runtime.reporting.report import console
from sparcl_compile.runtime.runs.run import Run
from sparcl_compile.runtime.session.engine import Engine, Sizes
from sparcl_compile.runtime.session.running import running

CHUNK = 256
"""Samples at a time."""


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
            if resume:
                shown.resumed(run.resume(config.learning_rate), run.trainer.number("learning_rate"))
            shown.classes(len(run.dataset.classes), artifact.manifest.model.classes)
            for note in (*config.rate_notes(artifact.manifest.optimizer), *run.dataset.notes):
                shown.note(note)
            return run.train(shown, recorders)


def predict(
    artifact: Artifact, x: np.ndarray, checkpoint: str | Path | None = None, threads: int | None = None
) -> np.ndarray:
    """Return the logits that an artifact gives after learning, float32 [N, classes].

    Args:
        artifact: as ``load`` or ``compile_model`` gives it.
        x: raw samples as the run has learned them, uint8 or float32 [N, C, H, W]; vectors of D features are
            [N, D, 1, 1], sequences and volumes lie in the model's own axes, and whole numbers (tokens) may have any
            type. They are normalised as the run's were.
        checkpoint: folder of the run; ``ARTIFACT.run`` without it.
        threads: of ONNX Runtime; all cores without it.

    Raises:
        CheckpointError: there is no run, it is damaged, or it is that of another artifact.
        DataError: the samples are of another form than those that were learned.
    """
    folder = run_of(artifact.folder) if checkpoint is None else Path(checkpoint)
    found = checkpoints.read_run(folder, artifact)
    model = artifact.manifest.model
    x = as_samples("x", "the samples", x, model)
    x = np.ascontiguousarray(FORMS[model.layout](x)) if in_model_axes(x, model) else x
    _check_samples(x, len(found.arrays["data.mean"]))
    with in_use(artifact), running(artifact):
        engine = Engine(artifact, threads, Sizes(str(x.dtype)))
        engine.reset_all()
        read = {one.name for graph in ("standardise", "eval") for one in engine.spec(graph).inputs}
        engine.restore({name: array for name, array in found.arrays.items() if name in read})
        parts = [_logits(engine, x[start : start + CHUNK]) for start in range(0, len(x), CHUNK)]
    return np.concatenate([np.zeros((0, artifact.manifest.model.classes), np.float32), *parts])


def _check_samples(x: np.ndarray, channels: int) -> None:
    if x.dtype not in (np.uint8, np.float32) or x.ndim != 4 or x.shape[1] != channels:
        raise DataError(
            f"the samples are {x.dtype} {list(x.shape)}; give uint8 or float32 [N, {channels}, height, width] as the "
            "run has learned them"
        )


def _logits(engine: Engine, x: np.ndarray) -> np.ndarray:
    ready = engine.run("standardise", {"x": x})["x_ready"]
    logits: np.ndarray = engine.run("eval", {"x": ready})["logits"].numpy()
    return logits.copy()
