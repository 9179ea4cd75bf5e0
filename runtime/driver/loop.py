"""The continual loop: tasks, epochs, evaluation, checkpoints. It holds the schedule and nothing else."""

import dataclasses
import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import DataError, TrainingError
from sparcl_compile.runtime import checkpoint
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.counters import Counters
from sparcl_compile.runtime.data import load as load_data
from sparcl_compile.runtime.data.dataset import Dataset
from sparcl_compile.runtime.data.tasks import Task, check_fits, split_classes
from sparcl_compile.runtime.driver.evaluate import accuracies
from sparcl_compile.runtime.driver.learner import Learner
from sparcl_compile.runtime.driver.replay import ReplayBuffer
from sparcl_compile.runtime.driver.schedule import agenda_for
from sparcl_compile.runtime.interrupt import Interrupt
from sparcl_compile.runtime.reporting.progress import Reporter
from sparcl_compile.runtime.reporting.result import build_result, overall_sparsity
from sparcl_compile.runtime.session.engine import Engine


class Run:
    """One continual run of an artifact on a data source.

    Args:
        artifact: the compiled model.
        config: the options.
        folder: where checkpoints go.

    Raises:
        DataError: the data cannot be read or do not fit the model.
    """

    def __init__(self, artifact: Artifact, config: RunConfig, folder: Path) -> None:
        manifest = artifact.manifest
        self.dataset = load_data(config.data)
        self._classes: int = manifest.model.classes
        layout = check_fits(self.dataset, manifest.model.input_shape, self._classes)
        _check_layout(self.dataset, layout, manifest.model.layout)
        self.tasks: list[Task] = split_classes(self.dataset, config.tasks, config.class_order_seed)
        self._manifest, self._config, self._folder = manifest, config, folder
        self._identity = {"artifact": artifact.identity, "samples": _fingerprint(self.dataset), **config.identity()}
        self.engine = Engine(artifact, config.threads)
        self.engine.reset()
        self._learner = Learner(self.engine, manifest, self.dataset, config, layout)
        self._class_rows: list[list[float]] = []
        self._task_rows: list[list[float]] = []
        self._mid_task = False
        self._resumed = False
        self._interrupt = Interrupt()
        self._rates = [{"after_epochs": 0, "learning_rate": config.learning_rate}]

    @property
    def learning_rate(self) -> float:
        """The learning rate of the epochs to come."""
        return self._config.learning_rate

    @property
    def epochs_done(self) -> int:
        """Finished epochs of all tasks."""
        return self.counters.task * self._config.epochs + self.counters.epoch

    @property
    def counters(self) -> Counters:
        """Where the run stands."""
        return self._learner.counters

    @property
    def buffer(self) -> ReplayBuffer:
        """The replay buffer."""
        return self._learner.buffer

    def resume(self, learning_rate: float | None = None) -> int:
        """Take up the last checkpoint and return how many epochs are done; raises CheckpointError.

        Args:
            learning_rate: another one for the epochs to come; None keeps the run's own.
        """
        arrays, progress = checkpoint.load(self._folder, self._identity)
        # Frozen parameters are the artifact's: the identity has been compared.
        frozen = set(self.engine.names("frozen"))
        for name, array in arrays.items():
            if not name.startswith("buffer.") and name not in frozen:
                self.engine.set_array(name, array)
        self._class_rows, self._task_rows = progress["class_rows"], progress["task_rows"]
        learner = self._learner
        learner.counters = Counters(**progress["counters"])
        learner.buffer.restore(arrays, progress["buffer_seen"])
        learner.masks.updates, learner.masks.stale = progress["mask_updates"], progress["masks_stale"]
        self._mid_task = learner.counters.epoch > 0
        learner.agenda = agenda_for(self._manifest.schedule, learner.counters.task)
        learner.agenda.updates_done, learner.agenda.removals_done = progress["updates_done"], progress["removals_done"]
        self._resumed = True
        self._rates = progress["learning_rates"]
        self._set_rate(self._rates[-1]["learning_rate"] if learning_rate is None else learning_rate)
        return self.epochs_done

    def _set_rate(self, rate: float) -> None:
        if rate != self._rates[-1]["learning_rate"]:
            self._rates.append({"after_epochs": self.epochs_done, "learning_rate": rate})
        self._config = self._learner.config = dataclasses.replace(self._config, learning_rate=rate)

    def train(self, reporter: Reporter) -> dict[str, Any]:
        """Learn all tasks from wherever the run stands and return the result (docs: sparcl-run --json).

        Raises:
            TrainingError: the loss is not a number; the checkpoint of the last good epoch is kept.
            WriteError: a checkpoint cannot be written.
            KeyboardInterrupt: Ctrl-C; the checkpoint of the last epoch is kept.
        """
        if not self._resumed:
            self._save()  # a run that is killed in its first epoch can be resumed as well
        with self._interrupt:
            while self.counters.task < len(self.tasks):
                self._train_task(self.tasks[self.counters.task], reporter)
        result = build_result(
            self._manifest,
            self.engine,
            self.counters,
            self._learner.masks.updates,
            self._config,
            self._class_rows,
            self._task_rows,
            self.tasks,
        )
        return {**result, "learning_rates": self._rates}

    def _train_task(self, task: Task, reporter: Reporter) -> None:
        learner, counters = self._learner, self._learner.counters
        if not self._mid_task:
            learner.begin_task(task)
        self._mid_task = False
        while counters.epoch < self._config.epochs:
            self._train_epoch(task, reporter)
            if counters.epoch < self._config.epochs:
                self._save()
        self._evaluate(reporter)
        counters.task, counters.epoch = counters.task + 1, 0
        self._save()

    def _train_epoch(self, task: Task, reporter: Reporter) -> None:
        counters = self._learner.counters
        sparsity = overall_sparsity(self.engine)
        index, epoch, seconds, seen = counters.task, counters.epoch, counters.seconds, counters.samples_seen
        reporter.begin_epoch()

        def on_step(value: float, done: int, total: int) -> None:
            self._interrupt.check()
            reporter.step(index, epoch, value, done, total, sparsity)

        try:
            loss = self._learner.epoch(task, on_step)
        except TrainingError as error:
            raise TrainingError(f"{error}; {self._kept()}") from error
        speed = (counters.samples_seen - seen) / max(1e-9, counters.seconds - seconds)
        reporter.end_epoch(index, epoch, loss, speed, overall_sparsity(self.engine))

    def _kept(self) -> str:
        if self.epochs_done:
            return (
                f"the state after {self.epochs_done} good epochs is in {self._folder}, continue it with --resume --lr"
            )
        return "no epoch was finished, so start again without --resume"

    def _evaluate(self, reporter: Reporter) -> None:
        done = self.tasks[: self._learner.counters.task + 1]
        class_il, task_il = accuracies(self.engine, self._learner.preprocess, done, self._classes)
        padding = [math.nan] * (len(self.tasks) - len(done))
        self._class_rows.append([*class_il, *padding])
        self._task_rows.append([*task_il, *padding])
        reporter.end_task(self._learner.counters.task, float(np.mean(class_il)), float(np.mean(task_il)))

    def _save(self) -> None:
        engine, learner = self.engine, self._learner
        saved = (spec.name for spec in self._manifest.state if spec.saved)
        arrays = {name: engine.array(name) for name in saved if name in engine.state}
        progress = {
            "counters": dataclasses.asdict(learner.counters),
            "class_rows": self._class_rows,
            "task_rows": self._task_rows,
            "buffer_seen": learner.buffer.seen,
            "mask_updates": learner.masks.updates,
            "masks_stale": learner.masks.stale,
            "updates_done": learner.agenda.updates_done,
            "removals_done": learner.agenda.removals_done,
            "learning_rates": self._rates,
            "samples": {
                "normalise": learner.preprocess.facts(),
                "classes": list(self.dataset.classes),
                "classes_by_task": [list(task.classes) for task in self.tasks],
            },
        }
        checkpoint.save(self._folder, {**arrays, **learner.buffer.arrays()}, progress, self._identity)


def _check_layout(dataset: Dataset, needed: str, compiled: str) -> None:
    """Raise DataError where the compiler took the input's axes in another order than the data have them."""
    if needed != compiled:
        raise DataError(
            f"{dataset.name}: its samples would have to lie as {needed}, the artifact was compiled for {compiled}; "
            "export the model with its input in the other order of axes"
        )


def _fingerprint(dataset: Dataset) -> str:
    """A checksum of the data: a resumed run must see the same samples."""
    digest = hashlib.sha256()
    for array in (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
