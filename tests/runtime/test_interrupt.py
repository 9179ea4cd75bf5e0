import os
import signal
import threading

import pytest

from sparcl_compile.interface.stopping import stoppable
from sparcl_compile.runtime.interrupt import Interrupt


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_ctrl_c_waits_for_the_check() -> None:
    with Interrupt() as interrupt:
        interrupt.check()
        press_ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()


def test_the_second_one_does_not_wait() -> None:
    with Interrupt():
        press_ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()


def test_the_handler_before_comes_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupt():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_is_left_alone() -> None:
    seen: list[object] = []

    def inside() -> None:
        with Interrupt() as interrupt:
            interrupt.check()
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before]


def test_other_signals_wait_where_a_command_asked_for_them() -> None:
    with stoppable() as stopped:
        asked = signal.getsignal(signal.SIGTERM)
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
            assert stopped.number == signal.SIGTERM
            with pytest.raises(KeyboardInterrupt):
                interrupt.check()
        assert signal.getsignal(signal.SIGTERM) is asked


def test_a_library_leaves_other_signals_alone() -> None:
    with Interrupt():
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
