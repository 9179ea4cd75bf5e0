"""The training of a learner: the state in an engine, the program, and the task under way."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.runtime.checkpoint import Checkpoint
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.data.dataset import Dataset
from sparcl_compile.runtime.data.tables import Table, Tables
from sparcl_compile.runtime.driver.loop import Watcher, learn_task
from sparcl_compile.runtime.driver.trainer import Trainer
from sparcl_compile.runtime.learner.forms import Form
from sparcl_compile.runtime.learner.results import Step
from sparcl_compile.runtime.progress import Learning, named_kept
from sparcl_compile.runtime.session.engine import Engine, Sizes

CHUNK = 256
"""Samples at a time in answers."""
STATISTICS = ("data.mean", "data.std")


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """A task under way: its samples, and how they are learned."""

    table: Table
    learning: Learning


class OneTable(Tables):
    """The samples of the task under way, in the place of every table."""

    def table(self, name: str, integer: object) -> Table:
        """Return them."""
        return self._data

    def hold(self, table: Table) -> None:
        """Take other samples."""
        self._data = table


class Course:
    """What a learner knows of its training once the form of its samples is known.

    Args:
        artifact: the compiled model.
        config: the options.
        form: of all samples.
        augments: whether training batches are changed at random.

    Attributes:
        form: as given.
        task: the task under way, or None.
        by_task: the classes of each learned task.
        formula: how samples are normalised; None until the first task.
    """

    def __init__(self, artifact: Artifact, config: RunConfig, form: Form, augments: bool) -> None:
        self.form, self._config, self._optimizer = form, config, artifact.manifest.optimizer
        self.engine = Engine(artifact, config.threads, Sizes(form.type, config.dimensions(form.shape)))
        self.engine.reset_all()
        self._tables = OneTable(Table(np.zeros((0, *form.shape), form.type), np.zeros(0, np.int64), ()))
        given = config.values(1, 1.0, augments, artifact.manifest.model.classes)
        self.trainer = Trainer(self.engine, artifact.manifest.program, self._tables, given)
        self.task: Task | None = None
        self.by_task: list[list[int]] = []
        self.formula: Mapping[str, Any] | None = None

    def restore(self, found: Checkpoint, task: Task | None) -> None:
        """Take up a state, with the task that it has under way."""
        self.engine.restore(found.arrays)
        self.trainer.restore(found.progress, found.kept)
        samples = found.progress["samples"]
        self.by_task, self.formula = [list(one) for one in samples["classes_by_task"]], samples["normalise"]
        if task is not None:
            self.take(task)

    def normalise(self, dataset: Dataset) -> None:
        """Set mean and deviation for good: those of these samples, or known ones."""
        known = dataset.known_statistics(self._config.normalise)
        self._tables.hold(Table.of(dataset))
        if known is None:
            self.trainer.call("statistics")
        else:
            for name, array in zip(STATISTICS, known, strict=True):
                self.engine.set_array(name, array)
        self.formula = dataset.formula(self._config.normalise, *map(self.engine.array, STATISTICS))

    def learning(self, samples: int, epochs: int, file: str) -> Learning:
        """How a task of so many samples is learned."""
        config = dataclasses.replace(self._config, epochs=epochs, tasks=1)
        _, batch, rate = config.completed(samples, self._optimizer.rate_for(epochs))
        return Learning(epochs, batch, rate, file)

    def take(self, task: Task) -> None:
        """Take a task, which is under way from now on."""
        self.task = task
        self._tables.hold(task.table)
        self.engine.sizes.dimensions["samples"] = len(task.table.labels)
        how = task.learning
        self.trainer.set({"epochs": how.epochs, "batch": how.batch, "learning_rate": how.learning_rate})

    def study(self, watcher: Watcher) -> bool:
        """Learn the task under way from wherever it stands; return whether that is finished, and none is under way."""
        task = self._under_way()
        finished = learn_task(self.trainer, task.learning.epochs, watcher)
        if finished:
            self.close_task()
        return finished

    def close_task(self) -> None:
        """End the task under way as it stands."""
        task = self._under_way()
        self.trainer.call("close_task")
        self.trainer.in_epoch = False
        self.by_task.append([int(label) for label in task.table.classes])
        self.task = None

    def _under_way(self) -> Task:
        if self.task is None:
            raise RuntimeError("no task is under way")
        return self.task

    def step(self) -> Step:
        """The step that was made last."""
        one, numbers = self.trainer, self.trainer.number
        counts = {name: one[name] for name in ("task", "epoch", "epochs", "done", "total")}
        return Step(**counts, loss=numbers("loss"), sparsity=numbers("now.overall"))

    def answer(self, raw: np.ndarray, places: Sequence[int]) -> tuple[np.ndarray, list[int]]:
        """Probabilities of some places of the head, float32 [N, places], and the likeliest place of each sample."""
        parts, best = [np.zeros((0, len(places)), np.float32)], []
        for _ in self._asked(Table(raw, np.zeros(len(raw), np.int64), places)):
            self.trainer.call("predict")
            parts.append(self.trainer.result("probability").copy())
            best += self.trainer.integers("best")
        return np.concatenate(parts), best

    def score(self, raw: np.ndarray, labels: np.ndarray, places: Sequence[int]) -> None:
        """Count the right answers among some places of the head, instead of those that were counted before."""
        self.trainer.call("begin_score")
        for _ in self._asked(Table(raw, labels, places)):
            self.trainer.call("score")

    def _asked(self, table: Table) -> Iterator[None]:
        for rows in table.chunks(CHUNK):
            self.trainer.set({f"asked.{name}": array for name, array in rows.fields().items()})
            yield

    def resized(self, x: np.ndarray) -> np.ndarray:
        """Images [N, C, h, w] in the size that the model takes."""
        self.trainer.set({"given.x": x})
        self.trainer.call("resize")
        return self.trainer.result("resized").copy()

    def arrays(self) -> dict[str, np.ndarray]:
        """What a save writes."""
        return {**self.engine.saved(), **named_kept(self.trainer.kept())}

    def progress(self, names: Sequence[str], taken: int) -> dict[str, Any]:
        """What a save writes beside, for classes of these names and so many observed samples that were taken."""
        rate = {"after_epochs": 0, "learning_rate": self.trainer.number("learning_rate")}
        form = {"type": self.form.type, "shape": list(self.form.shape), "normalise": self.formula}
        learning = self.task and dataclasses.asdict(self.task.learning)
        return {
            **self.trainer.progress(),
            "learning_rates": [rate],
            "samples": {**form, "classes": list(names), "classes_by_task": self.by_task},
            "learning": learning,
            "taken": taken,
        }
