"""Signals that ask a command to end: it stops as at Ctrl-C, cleans up and says how to go on. A leaf module."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stopped:
    """The signal that ended a command.

    Attributes:
        number: None as long as none came.
    """

    number: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt; later signals are passed over, so that the cleaning up goes on."""
        if self.number is None:
            self.number = number
            raise KeyboardInterrupt


@contextlib.contextmanager
def stoppable() -> Iterator[Stopped]:
    """A block in which SIGTERM and SIGHUP raise KeyboardInterrupt; one that is ignored, as nohup does it, stays so.

    Outside the main thread Python allows no handlers; there nothing changes.
    """
    stopped = Stopped()
    before = {number: signal.signal(number, stopped) for number in _asked()}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _asked() -> list[signal.Signals]:
    if threading.current_thread() is not threading.main_thread():
        return []
    return [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
