"""The continual loop: tasks, epochs, checkpoints. It calls the blocks of the artifact's program."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import TrainingError
from sparcl_compile.runtime import checkpoint
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.data.fitting import load_for
from sparcl_compile.runtime.data.tables import Table, Tables
from sparcl_compile.runtime.data.tasks import LEARNED, Task, check_tasks, split_classes
from sparcl_compile.runtime.driver.loop import learn_task
from sparcl_compile.runtime.driver.trainer import Trainer
from sparcl_compile.runtime.interrupt import Interrupt
from sparcl_compile.runtime.progress import NOT_LEARNING, samples_of
from sparcl_compile.runtime.reporting.points import Recorder
from sparcl_compile.runtime.reporting.progress import Reporter
from sparcl_compile.runtime.reporting.result import build_result
from sparcl_compile.runtime.runs.observer import Observer
from sparcl_compile.runtime.session.engine import Engine, Sizes

STATISTICS = ("data.mean", "data.std")
"""State with the mean and the deviation of the samples."""


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
        self.dataset = load_for(config.data, artifact.manifest.model)
        best = artifact.manifest.optimizer.rate_for(config.epochs)
        config, batch, rate = config.completed(self.dataset.training_samples, best)
        self._manifest, self._config, self._folder = artifact.manifest, config, folder
        check_tasks(self.dataset, config.dealing)
        config.check_buffer(artifact.manifest.program.least_buffer)
        self._identity = {"artifact": artifact.identity, "samples": self.dataset.fingerprint(), **config.identity()}
        self._tables = Tables(Table.of(self.dataset))
        self._dimensions = config.dimensions(self.dataset.sample_shape)
        self.engine = Engine(artifact, config.threads, Sizes(str(self.dataset.x_train.dtype), dict(self._dimensions)))
        self.engine.reset_all()
        given = config.values(batch, rate, self.dataset.augments(config.augment), len(self.dataset.classes))
        self.trainer = Trainer(self.engine, artifact.manifest.program, self._tables, given)
        self.tasks: list[Task] = split_classes(self.dataset, config.dealing, self._class_order())
        self._tables.tasks, self._tables.learned = self.tasks, LEARNED[artifact.manifest.program.train](self.tasks)
        self._normalise()
        self._resumed = False
        self._interrupt = Interrupt()
        self._rates = [{"after_epochs": 0, "learning_rate": rate}]

    def _class_order(self) -> list[int] | None:
        if self._config.class_order_seed is None:
            return None
        self.trainer.call("class_order")
        return self.trainer.integers("order")

    def _normalise(self) -> None:
        """Set the samples' mean and deviation where the data or the options give them; else they are computed."""
        known = self.dataset.known_statistics(self._config.normalise)
        if known is None:
            self.trainer.call("statistics")
            return
        for name, array in zip(STATISTICS, known, strict=True):
            self.engine.set_array(name, array)

    @property
    def epochs_done(self) -> int:
        """Finished epochs of all tasks."""
        return self.trainer["task"] * self._config.epochs + self.trainer["epoch"]

    def resume(self, learning_rate: float | None = None) -> int:
        """Take up the last checkpoint and return how many epochs are done; raises CheckpointError.

        Args:
            learning_rate: another one for the epochs to come; None keeps the run's own, and so does a finished run.
        """
        arrays, progress = checkpoint.load_run(self._folder, self._identity, self._manifest, self._dimensions)
        self.engine.restore(arrays)
        self.trainer.restore(progress)
        self._resumed = True
        self._rates = progress["learning_rates"]
        last = self._rates[-1]["learning_rate"]
        self._set_rate(last if learning_rate is None or self.is_finished else learning_rate)
        return self.epochs_done

    @property
    def is_finished(self) -> bool:
        """Whether all epochs of all tasks are done."""
        return bool(self.trainer["task"] == len(self.tasks))

    def _set_rate(self, rate: float) -> None:
        if rate != self._rates[-1]["learning_rate"]:
            self._rates.append({"after_epochs": self.epochs_done, "learning_rate": rate})
        self._config = dataclasses.replace(self._config, learning_rate=rate)
        self.trainer.set({"learning_rate": rate})

    def train(self, reporter: Reporter, recorders: Sequence[Recorder] = ()) -> dict[str, Any]:
        """Learn all tasks from wherever the run stands and return the result (docs: sparcl-run --json).

        Args:
            reporter: shows how far the run is.
            recorders: hear its points.

        Raises:
            TrainingError: the loss is not a number; the checkpoint of the last good epoch is kept.
            WriteError: a checkpoint cannot be written.
            KeyboardInterrupt: Ctrl-C; the checkpoint of the last epoch is kept.
        """
        if not self._resumed:
            self._save()  # a run that is killed in its first epoch can be resumed as well
        observer = Observer(self._manifest, self.engine, self.trainer, recorders)
        observer.begin(self.epochs_done)
        with self._interrupt:
            while not self.is_finished:
                self._train_task(reporter, observer)
        self.trainer.call("end_run")
        result = build_result(self._manifest, self.engine.saved(), self.trainer, self._config, self.tasks)
        return {**result, "learning_rates": self._rates}

    def _train_task(self, reporter: Reporter, observer: Observer) -> None:
        trainer, task = self.trainer, self.trainer["task"]
        self.engine.sizes.dimensions["samples"] = len(self._tables.learned[task].y_train)
        reporter.begin_epoch(trainer["batch"])
        try:
            shown = _Shown(trainer, reporter, observer, self._interrupt, self._end_epoch)
            learn_task(trainer, self._config.epochs, shown)
        except TrainingError as error:
            raise TrainingError(str(error), self._kept()) from error
        trainer.call("end_task")
        reporter.end_task(task, trainer.number("class_mean"), trainer.number("task_mean"))
        observer.task()
        self._save()

    def _end_epoch(self) -> None:
        if self.trainer["epoch"] < self._config.epochs:
            self._save()

    def _kept(self) -> str:
        if not self.epochs_done:
            return "no epoch was finished, so start again without `resume`"
        return f"{self._folder} has the state after {self.epochs_done} good epochs; `resume` at a lower `learning_rate`"

    def _save(self) -> None:
        formula = self.dataset.formula(self._config.normalise, *map(self.engine.array, STATISTICS))
        samples = samples_of(self.dataset, formula, [list(task.classes) for task in self.tasks])
        progress = {**self.trainer.progress(), **NOT_LEARNING, "learning_rates": self._rates, "samples": samples}
        checkpoint.save(self._folder, self.engine.saved(), progress, self._identity)


@dataclasses.dataclass(frozen=True)
class _Shown:
    """The watcher of a run: tells a reporter."""

    trainer: Trainer
    reporter: Reporter
    observer: Observer
    interrupt: Interrupt
    end_epoch: Callable[[], None]

    def go_on(self) -> bool:
        return True

    def stepped(self) -> None:
        self.interrupt.check()
        one = self.trainer
        loss, sparsity = one.number("loss"), one.number("now.overall")
        self.reporter.step(one["task"], one["epoch"], loss, one["done"], one["total"], sparsity)

    def ended(self) -> None:
        one, epoch = self.trainer, self.trainer["epoch"] - 1
        mean, sparsity = one.number("mean"), one.number("now.overall")
        speed = one["samples_seen"] / max(1e-9, one.seconds)
        self.reporter.end_epoch(one["task"], epoch, mean, speed, sparsity)
        self.observer.epoch()
        self.end_epoch()
        self.reporter.begin_epoch(one["batch"])
