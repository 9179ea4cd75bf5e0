"""Shows the progress of a run: a live display in a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class Reporter:
    """Shows task, epoch, loss, accuracy so far, sparsity, samples a second and the time left.

    Args:
        console: to show it on.
        tasks: of the run.
        epochs: of a task.
        quiet: show nothing.
        plain: a line an epoch on a terminal too, in place of the live display.
    """

    def __init__(self, console: Console, tasks: int, epochs: int, quiet: bool = False, plain: bool = False) -> None:
        self._console = console
        self._total = tasks * epochs
        self._epochs, self._tasks, self._batch = epochs, tasks, 0
        self._quiet = quiet
        self._live = console.is_terminal and not quiet and not plain
        self._accuracy = "-"
        self._started = time.perf_counter()
        self._done_before = 0.0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:3.0f}%"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not self._live,
        )
        self._bar = self._progress.add_task("starting", total=self._total)
        self._epoch_started = time.perf_counter()

    def __enter__(self) -> Self:
        """Start the display."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the display, also after an error, so that the terminal stays usable."""
        self._progress.stop()

    def classes(self, data: int, head: int) -> None:
        """Say that the head has more classes than the data, where it has, and that one class teaches nothing."""
        if data == 1:
            self.note("the data have one class: all that can be learned is to answer with its name; give two or more")
        elif head > data:
            self.note(
                f"the data have {data} classes and the model's head {head}: {head - data} of them are never "
                f"learned; sparcl-compile --classes {data} makes a head that fits"
            )

    def resumed(self, epochs_done: int, learning_rate: float) -> None:
        """Say that the run continues an earlier one."""
        self._done_before = float(epochs_done)
        self._line(f"resuming after {epochs_done} of {self._total} epochs with learning rate {learning_rate:g}")

    def note(self, text: str) -> None:
        """Say what a user may not have expected."""
        self._line(f"note: {text}")

    def begin_epoch(self, batch_size: int) -> None:
        """Start the clock of an epoch with so many samples a step."""
        self._batch, self._epoch_started = batch_size, time.perf_counter()

    def step(self, task: int, epoch: int, loss: float, done: int, total: int, sparsity: float) -> None:
        """Report a finished step; ``task`` and ``epoch`` count from 0."""
        speed = done * self._batch / max(1e-9, time.perf_counter() - self._epoch_started)
        self._progress.update(
            self._bar,
            completed=task * self._epochs + epoch + done / total,
            description=f"task {task + 1}/{self._tasks} epoch {epoch + 1}/{self._epochs} loss {loss:.3f} "
            f"accuracy {self._accuracy} sparsity {sparsity:.3f} {speed:.0f} samples/s",
        )

    def end_epoch(self, task: int, epoch: int, loss: float, speed: float, sparsity: float) -> None:
        """Report a finished epoch, as a plain line when there is no terminal."""
        if self._live:
            return
        done = task * self._epochs + epoch + 1
        spent = time.perf_counter() - self._started
        left = spent / max(1e-9, done - self._done_before) * (self._total - done)
        self._line(
            f"task {task + 1}/{self._tasks} epoch {epoch + 1}/{self._epochs} loss {loss:.4f} sparsity {sparsity:.4f} "
            f"{speed:.0f} samples/s, about {left:.0f} s left"
        )

    def end_task(self, task: int, class_il: float, task_il: float) -> None:
        """Report a task that is learned and evaluated; accuracies in percent, over the tasks so far."""
        self._accuracy = f"{class_il:.1f}%"
        self._line(f"after task {task + 1}/{self._tasks}: class-IL {class_il:.2f} %, task-IL {task_il:.2f} %")

    def _line(self, text: str) -> None:
        if not self._quiet:
            self._console.print(text, highlight=False, soft_wrap=True)
