"""The continual loop: tasks, epochs, checkpoints. It calls the blocks of the artifact's program."""

import dataclasses
from pathlib import Path
from typing import Any

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import TrainingError
from sparcl_compile.runtime import checkpoint
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.data.fitting import load_for
from sparcl_compile.runtime.data.tables import Table, Tables
from sparcl_compile.runtime.data.tasks import LEARNED, Task, check_tasks, split_classes
from sparcl_compile.runtime.driver.trainer import Trainer
from sparcl_compile.runtime.interrupt import Interrupt
from sparcl_compile.runtime.reporting.progress import Reporter
from sparcl_compile.runtime.reporting.result import build_result
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
        config, batch, rate = config.completed(len(self.dataset.x_train), best)
        self._manifest, self._config, self._folder = artifact.manifest, config, folder
        check_tasks(self.dataset, config.dealing)
        config.check_buffer(artifact.manifest.program.least_buffer)
        self._identity = {"artifact": artifact.identity, "samples": self.dataset.fingerprint(), **config.identity()}
        self._tables = Tables(Table.of(self.dataset))
        self.engine = Engine(artifact, config.threads, Sizes(str(self.dataset.x_train.dtype), self._dimensions()))
        self.engine.reset_all()
        self.trainer = Trainer(self.engine, artifact.manifest.program, self._tables, self._options(batch, rate))
        self.tasks: list[Task] = split_classes(self.dataset, config.dealing, self._class_order())
        self._tables.tasks, self._tables.learned = self.tasks, LEARNED[artifact.manifest.program.train](self.tasks)
        self._normalise()
        self._resumed = False
        self._interrupt = Interrupt()
        self._rates = [{"after_epochs": 0, "learning_rate": rate}]

    def _dimensions(self) -> dict[str, int]:
        channels, height, width = self.dataset.sample_shape
        config = self._config
        return {"C": channels, "H": height, "W": width, "tasks": config.tasks, "buffer": config.buffer_size}

    def _options(self, batch: int, rate: float) -> dict[str, float]:
        """The values that a program may name beside its own."""
        config = self._config
        return {
            "seed": config.seed,
            "batch": batch,
            "epochs": config.epochs,
            "learning_rate": rate,
            "augment": int(self.dataset.augments(config.augment)),
            "class_order_seed": config.class_order_seed or 0,
            "classes_in_data": len(self.dataset.classes),
        }

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
            learning_rate: another one for the epochs to come; None keeps the run's own.
        """
        arrays, progress = checkpoint.load_run(self._folder, self._identity, self._manifest, self._dimensions())
        self.engine.restore(arrays)
        self.trainer.restore(progress)
        self._resumed = True
        self._rates = progress["learning_rates"]
        self._set_rate(self._rates[-1]["learning_rate"] if learning_rate is None else learning_rate)
        return self.epochs_done

    def _set_rate(self, rate: float) -> None:
        if rate != self._rates[-1]["learning_rate"]:
            self._rates.append({"after_epochs": self.epochs_done, "learning_rate": rate})
        self._config = dataclasses.replace(self._config, learning_rate=rate)
        self.trainer.set({"learning_rate": rate})

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
            while self.trainer["task"] < len(self.tasks):
                self._train_task(reporter)
        self.trainer.call("end_run")
        result = build_result(self._manifest, self.engine.saved(), self.trainer, self._config, self.tasks)
        return {**result, "learning_rates": self._rates}

    def _train_task(self, reporter: Reporter) -> None:
        trainer, task = self.trainer, self.trainer["task"]
        if trainer["epoch"] == 0:
            self.engine.sizes.dimensions["samples"] = len(self._tables.learned[task].y_train)
            trainer.begin_task()
        while trainer["epoch"] < self._config.epochs:
            self._train_epoch(reporter)
            if trainer["epoch"] < self._config.epochs:
                self._save()
        trainer.call("end_task")
        reporter.end_task(task, trainer.number("class_mean"), trainer.number("task_mean"))
        self._save()

    def _train_epoch(self, reporter: Reporter) -> None:
        trainer, task, epoch = self.trainer, self.trainer["task"], self.trainer["epoch"]
        reporter.begin_epoch(trainer["batch"])
        try:
            trainer.call("begin_epoch")
            while trainer.more:
                trainer.step()
                self._interrupt.check()
                loss, sparsity = trainer.number("loss"), trainer.number("now.overall")
                reporter.step(task, epoch, loss, trainer["done"], trainer["total"], sparsity)
            trainer.call("end_epoch")
        except TrainingError as error:
            raise TrainingError(f"{error}; {self._kept()}") from error
        reporter.end_epoch(task, epoch, trainer.number("mean"), trainer["samples_seen"], trainer.number("now.overall"))

    def _kept(self) -> str:
        if not self.epochs_done:
            return "no epoch was finished, so start again without `resume`"
        return f"{self._folder} has the state after {self.epochs_done} good epochs; `resume` at a lower `learning_rate`"

    def _save(self) -> None:
        samples = {
            "normalise": self.dataset.formula(self._config.normalise, *map(self.engine.array, STATISTICS)),
            "classes": list(self.dataset.classes),
            "classes_by_task": [list(task.classes) for task in self.tasks],
        }
        progress = {**self.trainer.progress(), "learning_rates": self._rates, "samples": samples}
        checkpoint.save(self._folder, self.engine.saved(), progress, self._identity)
