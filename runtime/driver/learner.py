"""One task after another: batches, micro-steps, events. Every number comes out of a graph."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence

import numpy as np

from sparcl_compile.interface.errors import TrainingError
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.names import Role
from sparcl_compile.interface.schedule import Removal, ReplayStep
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.counters import Counters
from sparcl_compile.runtime.data.dataset import Dataset
from sparcl_compile.runtime.data.tasks import Task
from sparcl_compile.runtime.driver.batches import Batch, class_mask, current_batch, merge, replay_batch, with_class_mask
from sparcl_compile.runtime.driver.masks import MaskKeeper
from sparcl_compile.runtime.driver.preprocess import Preprocessor
from sparcl_compile.runtime.driver.replay import ReplayBuffer
from sparcl_compile.runtime.driver.schedule import Agenda, agenda_for
from sparcl_compile.runtime.session.engine import Engine

LEARNED = (Role.PARAMETER, Role.OPTIMIZER, Role.RUNNING_STAT)
"""Roles of the state that training computes."""


class Learner:
    """The training side of a run: state in an engine, a buffer, masks and counters."""

    def __init__(self, engine: Engine, manifest: Manifest, dataset: Dataset, config: RunConfig, layout: str) -> None:
        self.engine = engine
        self.config = config
        self.counters = Counters()
        self.preprocess = Preprocessor(engine, dataset, config, layout)
        self.masks = MaskKeeper(engine, manifest, config.seed)
        self.agenda = Agenda([], [])
        self._manifest = manifest
        self._classes = manifest.model.classes
        self.buffer = ReplayBuffer(config.buffer_size, dataset.x_train.shape[1:], dataset.x_train.dtype, self._classes)

    def begin_task(self, task: Task) -> None:
        """Reset what belongs to a task and run the events at its very start."""
        self.engine.reset_samples(len(task.y_train))
        self.agenda = agenda_for(self._manifest.schedule, self.counters.task)
        self.counters.task_step = self.counters.removed = self.counters.epoch = 0
        while update := self.agenda.due_update(0.0):
            self.masks.update_masks(update, measured=False)

    def epoch(self, task: Task, on_step: Callable[[float, int, int], None]) -> float:
        """Train one epoch and return its mean loss.

        Args:
            task: the current task.
            on_step: called after each step with its loss, the steps done and the steps of this epoch.

        Raises:
            TrainingError: a loss is not a number.
        """
        counters, size = self.counters, self.config.batch_size
        key = np.array([self.config.seed, counters.task, counters.epoch], np.int64)
        found = self.engine.run("order", {"key": key})
        order, length, position, done = found["order"], int(found["length"]), 0, 0
        total = max(1, length // size)
        losses = []
        while done < total:
            started = time.perf_counter()
            ids = order[position : min(position + size, length)]
            batches = self._batches(task, ids)
            losses.append(self._step(batches, task, ids))
            position, done = position + len(ids), done + 1
            progress = (counters.epoch + done / total) / self.config.epochs
            self._run_updates(progress, batches)
            while removal := self.agenda.due_removal(progress):
                order, position, length = self._remove(removal, len(task.y_train), order, position)
                total = done + (length - position) // size
            counters.seconds += time.perf_counter() - started
            on_step(losses[-1], done, total)
        self._check_state()
        counters.epoch += 1
        return float(np.mean(losses))

    def _check_state(self) -> None:
        """The last step of an epoch can break the weights without any loss to show it."""
        for role in LEARNED:
            broken = [name for name in self.engine.names(role) if not np.isfinite(self.engine.array(name)).all()]
            if broken:
                raise TrainingError(f"{broken[0]} is no longer finite in {self._where()}; {self._mend()}")

    def _where(self) -> str:
        counters = self.counters
        return f"task {counters.task + 1}, epoch {counters.epoch + 1}, step {counters.task_step + 1}"

    def _mend(self) -> str:
        return f"lower --lr (now {self.config.learning_rate:g})"

    def _batches(self, task: Task, ids: np.ndarray) -> "_StepBatches":
        x, labels = task.x_train[ids], task.y_train[ids]
        ready = self.preprocess.training(x, self.counters.step, 0)
        everything = np.zeros(self._classes, np.float32)
        own = class_mask(self._classes, task.classes)
        trained_mask = own if self._manifest.options.loss_classes == "task" else everything
        current = current_batch(ready, labels, trained_mask, ids)
        return _StepBatches(current, own, self._replay())

    def _replay(self) -> list[Batch]:
        replay = self._manifest.replay
        if self.counters.task < replay.from_task or not self.buffer.filled:
            return []
        return [self._draw(micro_step) for micro_step in replay.steps]

    def _draw(self, micro_step: ReplayStep) -> Batch:
        step, draw = self.counters.step, micro_step.draw
        rows = self.buffer.draw(self.engine, self.config.seed, step, draw, self.config.batch_size)
        x = self.preprocess.training(self.buffer.x[rows], step, draw + 1)
        return replay_batch(x, self.buffer.labels[rows], self.buffer.logits[rows], micro_step.ce, micro_step.distill)

    def _step(self, batches: "_StepBatches", task: Task, ids: np.ndarray) -> float:
        if self.masks.due(self.counters.task_step):
            self._measure(batches)
            self.masks.update_gradient_masks()
        loss, logits = self._micro_steps(batches)
        current = logits[: len(ids)]
        if self._manifest.replay.steps:
            self.buffer.add(self.engine, self.config.seed, task.x_train[ids], task.y_train[ids], current)
        self.counters.step += 1
        self.counters.task_step += 1
        self.counters.samples_seen += len(ids)
        self.counters.samples_replayed += sum(len(batch.labels) for batch in batches.replay)
        return loss

    def _micro_steps(self, batches: "_StepBatches") -> tuple[float, np.ndarray]:
        """Train on the batches and move the parameters; the loss, and the logits of the first batch."""
        trained: Sequence[Batch] = [batches.current, *batches.replay]
        if self._manifest.replay.merged:
            trained = [merge(trained)]
        count = np.array(self.counters.step + 1, np.float32)
        rates = {"learning_rate": np.array(self.config.learning_rate, np.float32), "count": count}
        results = [self.engine.run("train", {**batch.feeds(i == 0), **rates}) for i, batch in enumerate(trained)]
        loss = sum(float(result["loss"]) for result in results)
        if not math.isfinite(loss):
            raise TrainingError(f"the loss became {loss} in {self._where()}; {self._mend()}")
        if "optimizer" in self._manifest.graphs:
            self.engine.run("optimizer", rates)
        return loss, results[0]["logits"]

    def _measure(self, batches: "_StepBatches") -> None:
        single_head = with_class_mask(batches.current, batches.own_classes)
        self.masks.measure(batches.current, single_head, batches.replay)
        self.counters.samples_measured += sum(len(b.labels) for b in (batches.current, *batches.replay))

    def _run_updates(self, progress: float, batches: "_StepBatches") -> None:
        while update := self.agenda.due_update(progress):
            self._measure(batches)
            self.masks.update_masks(update, measured=True)

    def _remove(self, removal: Removal, samples: int, order: np.ndarray, position: int) -> tuple[np.ndarray, int, int]:
        target = math.floor(removal.removed * samples + 0.5)
        remove = np.array(target - self.counters.removed, np.int64)
        feeds = {"remove": remove, "order": order, "position": np.array(position, np.int64)}
        found = self.engine.run("filter_samples", feeds)
        self.counters.removed += int(remove)
        self.counters.samples_removed += int(remove)
        return found["new_order"], int(found["new_position"]), int(found["length"])


@dataclasses.dataclass(frozen=True)
class _StepBatches:
    """What one step trains on; ``own_classes`` is the class mask [C] of the task."""

    current: Batch
    own_classes: np.ndarray
    replay: list[Batch]
