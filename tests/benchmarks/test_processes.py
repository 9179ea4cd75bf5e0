import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import batches, targets
from benchmarks.processes import Turns

MEASURES: dict[str, Callable[[Path], object]] = {
    "targets": lambda _: targets.row_of("mlp", 8, "dense", 1, 1, sys.executable),
    "batches": lambda folder: batches.taken([("a", 1), ("b", 1), ("c", 1)], 1, 1, folder),
}


@pytest.mark.parametrize("name", MEASURES)
def test_a_step_that_fails_ends_the_processes_of_all(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, closed = [], []

    class Process:
        made = "1.0"

        def __init__(self, *_: object) -> None:
            opened.append(self)

        def start(self) -> None:
            if self is opened[1]:
                raise BrokenPipeError("it has ended")

        def wait(self) -> list[float]:
            return [1.0]

        def __call__(self) -> list[float]:
            self.start()
            return self.wait()

        def close(self) -> None:
            closed.append(self)

    monkeypatch.setattr(targets, "compile_to", lambda *_: None)
    monkeypatch.setattr(f"benchmarks.{name}.Turns", Process)
    with pytest.raises(BrokenPipeError):
        MEASURES[name](tmp_path)
    assert len(opened) == 3
    assert set(closed) == set(opened)


def test_a_process_that_makes_no_step_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class Watched(subprocess.Popen[str]):
        def __init__(self, command: list[str], **options: object) -> None:
            super().__init__(command, **options)  # type: ignore[call-overload]
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Watched)
    with pytest.raises(RuntimeError, match="ended"):
        Turns(sys.executable, "__future__")  # a module that prints nothing
    assert [process.returncode for process in started] == [0]
