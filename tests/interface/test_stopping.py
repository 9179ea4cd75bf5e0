"""SIGTERM and SIGHUP end a command as Ctrl-C does."""

import os
import signal
import threading

import pytest

from sparcl_compile.interface.stopping import SIGNALS, stoppable


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_once(number: int) -> None:
    before = signal.getsignal(number)
    with stoppable() as stopped:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        assert stopped.number == number
        for again in SIGNALS:  # while it cleans up
            os.kill(os.getpid(), again)
        assert stopped.number == number
    assert signal.getsignal(number) is before


def test_what_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable() as stopped:
            os.kill(os.getpid(), signal.SIGHUP)
        assert stopped.number is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_is_left_alone() -> None:
    seen: list[object] = []

    def inside() -> None:
        with stoppable():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]
