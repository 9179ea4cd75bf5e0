"""The loop over the epochs and steps of one task, which every way of learning shares."""

from typing import Protocol

from sparcl_compile.runtime.driver.trainer import Trainer


class Watcher(Protocol):
    """What is told how far a task is, and may stop it before any step."""

    def go_on(self) -> bool:
        """Return whether another step may be made."""

    def stepped(self) -> None:
        """Hear that a step was made."""

    def ended(self) -> None:
        """Hear that an epoch has ended."""


def learn_task(trainer: Trainer, epochs: int, watcher: Watcher) -> bool:
    """Learn the current task from wherever it stands; return whether all its epochs are done.

    Raises:
        TrainingError: the program fails.
    """
    while trainer["epoch"] < epochs:
        if not (watcher.go_on() and _learn_epoch(trainer, watcher)):
            return False
        watcher.ended()
    return True


def _learn_epoch(trainer: Trainer, watcher: Watcher) -> bool:
    if not trainer.in_epoch:
        trainer.begin_epoch()
    while trainer.more:
        if not watcher.go_on():
            return False
        trainer.step()
        watcher.stepped()
    trainer.end_epoch()
    return True
