"""Looks at a run after every epoch and task, for those that record it."""

from collections.abc import Sequence

import numpy as np

from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.runtime.driver.trainer import Trainer
from sparcl_compile.runtime.reporting.masks import masks_of, png
from sparcl_compile.runtime.reporting.points import EpochPoint, LayerPoint, Recorder, TaskPoint
from sparcl_compile.runtime.session.engine import Engine


class Observer:
    """Makes the points of a run; without recorders it looks at nothing.

    Args:
        manifest: of the artifact.
        engine: with its state.
        trainer: that learns.
        recorders: hear the points.
    """

    def __init__(self, manifest: Manifest, engine: Engine, trainer: Trainer, recorders: Sequence[Recorder]) -> None:
        self._manifest, self._engine, self._trainer, self._recorders = manifest, engine, trainer, recorders
        self._masks: dict[str, np.ndarray] = {}
        self._done = 0

    def begin(self, epochs_done: int) -> None:
        """Tell where the run stands: the masks of here are those that the next epoch is compared with."""
        if not self._recorders:
            return
        self._done, self._masks = epochs_done, self._look()
        start = self._task_point(self._trainer["task"], (), ())
        for one in self._recorders:
            one.begin(start, epochs_done)

    def epoch(self) -> None:
        """Tell of an epoch that has just ended."""
        if not self._recorders:
            return
        self._done += 1
        before, self._masks = self._masks, self._look()
        one = self._trainer
        point = EpochPoint(
            task=one["task"] + 1,
            epoch=one["epoch"],
            epochs_done=self._done,
            step=one["step"],
            loss=one.number("mean"),
            learning_rate=one.number("learning_rate"),
            sparsity=one.number("now.overall"),
            samples_seen=one["samples_seen"],
            samples_replayed=one["samples_replayed"],
            samples_removed=one["samples_removed"],
            seconds=one.seconds,
            layers={name: _layer(before[name], now) for name, now in self._masks.items()},
        )
        for recorder in self._recorders:
            recorder.epoch(point)

    def task(self) -> None:
        """Tell of a task that has just ended and been evaluated."""
        if not self._recorders:
            return
        done = self._trainer["task"]
        rows = (self._engine.array(f"accuracy.{kind}")[done - 1, :done] for kind in ("class", "task"))
        point = self._task_point(done, *(tuple(map(float, row)) for row in rows))
        for recorder in self._recorders:
            recorder.task(point)

    def _task_point(self, task: int, class_row: tuple[float, ...], task_row: tuple[float, ...]) -> TaskPoint:
        pictures = {name: png(mask) for name, mask in self._masks.items()}
        return TaskPoint(task, self._done, self._trainer["step"], class_row, task_row, pictures)

    def _look(self) -> dict[str, np.ndarray]:
        return masks_of(self._manifest, self._engine.saved())


def _layer(before: np.ndarray, now: np.ndarray) -> LayerPoint:
    """A layer between two epochs, from the flags of what it keeps."""
    churn = float(np.mean(~before[now])) if now.any() else 0.0
    return LayerPoint(1.0 - float(np.mean(now)), churn)
