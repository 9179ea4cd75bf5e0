"""How much one call may learn: steps, seconds, and what the progress function says."""

import time
from collections.abc import Callable
from numbers import Real

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.runtime.interrupt import Interrupt
from sparcl_compile.runtime.learner.opening import check_whole
from sparcl_compile.runtime.learner.results import Learned, Progress, Reason, Step

Clock = Callable[[], float]
"""Seconds since any moment."""


class ProgressFailed(BaseException):
    """Carries an exception of the progress function past what translates those of ONNX Runtime.

    Attributes:
        error: the exception.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class Budget:
    """Counts the steps of a call. It allows one in any case, so that every call gets on.

    Args:
        steps: at most so many; None for any number.
        seconds: no step begins after so many; None for any time.
        progress: called after each step.
        clock: tells the time.

    Raises:
        FieldError: a number is out of its range.
    """

    def __init__(
        self, steps: int | None, seconds: float | None, progress: Progress | None, clock: Clock = time.monotonic
    ) -> None:
        check_whole("steps", steps)
        if steps is not None and steps < 1:
            raise FieldError("steps", steps, mend="give at least 1")
        if seconds is not None and not (isinstance(seconds, Real) and seconds > 0.0):
            raise FieldError("seconds", seconds, mend="give a number above 0")
        if progress is not None and not callable(progress):
            raise FieldError("progress", progress, mend="give a function that takes a step")
        self._steps, self._seconds, self._progress = steps, seconds, progress
        self._clock, self._began = clock, clock()
        self._made, self._cancelled = 0, False
        self._loss: float | None = None

    def go_on(self) -> bool:
        """Whether another step may be made."""
        return self._made == 0 or self._reason() == "done"

    def count(self, step: Step) -> None:
        """Count a step that was made; raises ProgressFailed where the progress function does."""
        self._made, self._loss = self._made + 1, step.loss
        if self._progress is None:
            return
        try:
            self._cancelled = self._progress(step) is False
        except Exception as error:
            raise ProgressFailed(error) from error

    def _reason(self) -> Reason:
        if self._cancelled:
            return "cancelled"
        if self._steps is not None and self._made >= self._steps:
            return "steps"
        late = self._seconds is not None and self._clock() - self._began >= self._seconds
        return "seconds" if late else "done"

    def ended(self, finished: bool) -> Learned:
        """The result of the call; ``finished`` where nothing is left to learn."""
        return Learned("done" if finished else self._reason(), self._made, self._loss)


class Watch:
    """The watcher of a task that is learned within a budget."""

    def __init__(
        self, budget: Budget, told: Callable[[], Step], end_epoch: Callable[[], None], interrupt: Interrupt
    ) -> None:
        self._budget, self._told, self._end_epoch, self._interrupt = budget, told, end_epoch, interrupt

    def go_on(self) -> bool:
        """Whether another step may be made."""
        return self._budget.go_on()

    def stepped(self) -> None:
        """Count a step; raises KeyboardInterrupt where a signal came."""
        self._interrupt.check()
        self._budget.count(self._told())

    def ended(self) -> None:
        """Pass on that an epoch has ended."""
        self._end_epoch()
