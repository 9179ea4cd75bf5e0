import io

import pytest

from sparcl_compile.runtime.reporting.progress import Reporter
from sparcl_compile.runtime.reporting.report import console


def report(quiet: bool = False) -> list[str]:
    out = io.StringIO()
    with Reporter(console(out), tasks=2, epochs=3, quiet=quiet) as reporter:
        reporter.resumed(2, 0.03)
        reporter.begin_epoch(8)
        reporter.step(0, 2, 1.5, 1, 4, 0.75)
        reporter.end_epoch(0, 2, 1.25, 320.0, 0.75)
        reporter.end_task(0, 61.2345, 89.0)
    return out.getvalue().splitlines()


def test_plain_lines_without_a_terminal() -> None:
    resumed, epoch, task = report()
    assert resumed == "resuming after 2 of 6 epochs with learning rate 0.03"
    assert epoch.startswith("task 1/2 epoch 3/3 loss 1.2500 sparsity 0.7500 320 samples/s, about ")
    assert epoch.endswith(" s left")
    assert task == "after task 1/2: class-IL 61.23 %, task-IL 89.00 %"


def test_quiet_says_nothing() -> None:
    assert report(quiet=True) == []


def test_the_time_left_counts_this_sessions_epochs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    out = io.StringIO()
    with Reporter(console(out), tasks=2, epochs=3) as reporter:
        reporter.resumed(2, 0.03)
        clock[0] += 10
        reporter.end_epoch(0, 2, 1.0, 1.0, 0.0)
    assert "about 30 s left" in out.getvalue()


def test_a_head_wider_than_the_data_is_said_in_one_line() -> None:
    out = io.StringIO()
    reporter = Reporter(console(out), tasks=2, epochs=3)
    reporter.classes(10, 1000)
    (line,) = out.getvalue().splitlines()
    assert "10 classes" in line
    assert "990 of them are never learned; sparcl-compile --classes 10" in line


def test_a_single_class_is_said_to_teach_nothing() -> None:
    """No head of one class can be compiled, so none is spoken of."""
    out = io.StringIO()
    Reporter(console(out), tasks=1, epochs=3).classes(1, 4)
    assert "the data have one class" in out.getvalue()
    assert "--classes" not in out.getvalue()


def test_a_head_that_fits_the_data_is_not_spoken_of() -> None:
    out = io.StringIO()
    Reporter(console(out), tasks=2, epochs=3).classes(10, 10)
    assert out.getvalue() == ""
