"""Ctrl-C takes effect between two steps: an exception that is raised inside a destructor would be lost."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from sparcl_compile.interface.stopping import SIGNALS, Stopped


class Interrupt:
    """While active, the first SIGINT waits for ``check``, a second one interrupts at once.

    SIGTERM and SIGHUP wait as well, where a command has asked for them (``stoppable``). Outside the main thread Python
    allows no handlers; there the interpreter's own stays.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Take the signals over."""
        if threading.current_thread() is threading.main_thread():
            asked = [number for number in SIGNALS if isinstance(signal.getsignal(number), Stopped)]
            self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, *asked)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came since the start."""
        if self._asked:
            raise KeyboardInterrupt

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = True
        handler = self._before[number]
        if isinstance(handler, Stopped) and handler.number is None:
            handler.number = number  # at once: a terminal that hung up may break the step before its end
