"""A run that is killed and resumed ends in the state of the run that was not, to the bit."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from sparcl_compile.interface.errors import CheckpointError
from sparcl_compile.runtime import checkpoint, tensor_files
from tests.support.cli import (
    ENVIRONMENT,
    Outcome,
    call,
    check_refused,
    command_line,
    done,
    read_json,
    write_artifact,
    write_data,
)

CLOCK = ("samples_per_second", "training_seconds")
"""Results in which two equal runs may differ."""
RUN = (
    "--tasks",
    "2",
    "--batch-size",
    "8",
    "--buffer",
    "10",
    "--threads",
    "1",
    "--augment",
    "crop_flip",
)


def result(path: Path) -> dict[str, Any]:
    return {key: value for key, value in read_json(path).items() if key not in CLOCK}


def check_same_state(a: Path, b: Path) -> None:
    one, other = load_file(a / checkpoint.FILE), load_file(b / checkpoint.FILE)
    assert list(one) == list(other)
    differing = [name for name in one if one[name].tobytes() != other[name].tobytes()]
    assert differing == []


class Whole:
    """One artifact, its data and the run that was never killed."""

    epochs = 2

    def __init__(self, folder: Path, *options: str) -> None:
        self.artifact = write_artifact(folder, *options)
        self.data = write_data(folder)
        self.folder, self.json = folder / "whole", folder / "whole.json"
        self.run(self.folder, self.json)

    def arguments(self, folder: Path, target: Path, *more: str) -> list[object]:
        return [
            self.artifact,
            "--data",
            self.data,
            *RUN,
            "--epochs",
            self.epochs,
            "--checkpoint",
            folder,
            "--json",
            target,
            *more,
        ]

    def run(self, folder: Path, target: Path, *more: str) -> Outcome:
        return done("run", *self.arguments(folder, target, *more))

    def check(self, folder: Path, target: Path) -> None:
        """Check that another run ended as this one."""
        check_same_state(folder, self.folder)
        assert result(target) == result(self.json)
        assert os.listdir(folder) == [checkpoint.FILE]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("paper"))


def kill_after(arguments: list[object], lines: int) -> str:
    """Start a run and kill -9 it when it has printed a number of lines; return what it printed."""
    command = command_line("run", *arguments)
    environment = {**ENVIRONMENT, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True) as run:
        assert run.stdout is not None
        printed = [run.stdout.readline() for _ in range(lines)]
        run.send_signal(signal.SIGKILL)
        run.wait(timeout=60)
        assert run.returncode == -signal.SIGKILL
    return "".join(printed)


def test_kill_9_again_and_again(whole: Whole, tmp_path: Path) -> None:
    folder, target = tmp_path / "run", tmp_path / "result.json"
    kill_after(whole.arguments(folder, target), lines=1)
    assert not target.exists()
    assert "epoch" in kill_after(whole.arguments(folder, target, "--resume"), lines=3)
    assert not target.exists()
    whole.run(folder, target, "--resume")
    whole.check(folder, target)


class Killed(BaseException):
    """Stands for the end of the process: nothing in the program catches it."""


def die(*_: object, **__: object) -> None:
    raise Killed


def kill_at_step(whole: Whole, arguments: list[object], monkeypatch: pytest.MonkeyPatch, step: int) -> bool:
    """Run until an optimizer step, counted from here; False when the run ended before."""
    from sparcl_compile.runtime.reporting.progress import Reporter

    done_steps = []
    shown = Reporter.step

    def counted(*args: Any) -> None:
        done_steps.append(None)
        if len(done_steps) == step:
            raise Killed
        shown(*args)

    monkeypatch.setattr(Reporter, "step", counted)
    try:
        call("run", *arguments)
    except Killed:
        return True
    finally:
        monkeypatch.undo()
    return False


OPTIONS = {
    "paper": (),
    "reference-code": ("--recipe", "reference-code"),
    "merged er adamw": ("--method", "er", "--replay-batches", "merged", "--optimizer", "adamw"),
    "momentum without replay": ("--method", "finetune", "--momentum", "0.9", "--loss-classes", "task"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_run_that_stops_every_few_steps(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops in the middle of epochs, also between a mask update and the end of its epoch."""
    whole = Whole(tmp_path, *OPTIONS[name])
    folder, target = tmp_path / "run", tmp_path / "result.json"
    assert kill_at_step(whole, whole.arguments(folder, target), monkeypatch, 5)
    stops = 0
    for step in (3, 11, 12, 9, 10, 8, 50):
        stops += kill_at_step(whole, whole.arguments(folder, target, "--resume"), monkeypatch, step)
    assert stops >= 3
    whole.check(folder, target)


class Long(Whole):
    """Long enough for samples to be removed, behind 2.5 epochs for the first time."""

    epochs = 25


def test_a_run_that_stops_when_samples_have_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the third epoch behind the removal, in the fourth, and in the second task."""
    whole = Long(tmp_path, "--data-removal", "0.3")
    folder, target = tmp_path / "run", tmp_path / "result.json"
    assert kill_at_step(whole, whole.arguments(folder, target), monkeypatch, 26)
    for step in (12, 200):
        assert kill_at_step(whole, whole.arguments(folder, target, "--resume"), monkeypatch, step)
    whole.run(folder, target, "--resume")
    whole.check(folder, target)
    assert result(target)["samples_removed"] > 0


def test_killed_while_a_checkpoint_is_written(whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every operation of every checkpoint: half a file, a whole one not yet renamed, one just renamed."""
    from sparcl_compile.interface import files

    folder, target = tmp_path / "run", tmp_path / "result.json"
    whole.run(folder, target)
    shutil.rmtree(folder)
    more: tuple[str, ...] = ()
    for owner, name, before in ((files, "sync", 1), (Path, "chmod", 2), (Path, "replace", 2), (files, "sync", 4)):
        original, calls = getattr(owner, name), []

        def counted(*args: Any, original: Any = original, calls: list[None] = calls, last: int = before) -> Any:
            calls.append(None)
            if len(calls) == last:
                raise Killed
            return original(*args)

        monkeypatch.setattr(owner, name, counted)
        # The clean-up does not happen either when the process is gone.
        monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(Killed):
            call("run", *whole.arguments(folder, target, *more))
        monkeypatch.undo()
        assert len(os.listdir(folder)) >= 1
        more = ("--resume",) if checkpoint.exists(folder) else ()
    assert more
    whole.run(folder, target, "--resume")
    whole.check(folder, target)


def test_a_finished_run_resumes_to_its_result(whole: Whole, tmp_path: Path) -> None:
    target = tmp_path / "again.json"
    whole.run(whole.folder, target, "--resume")
    assert read_json(target) == read_json(whole.json)


def test_the_same_seed_is_the_same_run_in_another_process(whole: Whole, tmp_path: Path) -> None:
    arguments = whole.arguments(tmp_path / "run", tmp_path / "result.json")
    subprocess.run(command_line("run", *arguments), check=True, capture_output=True, env=ENVIRONMENT, timeout=120)
    whole.check(tmp_path / "run", tmp_path / "result.json")
    whole.run(tmp_path / "run2", tmp_path / "result2.json")
    whole.check(tmp_path / "run2", tmp_path / "result2.json")


def test_another_seed_is_another_run(whole: Whole, tmp_path: Path) -> None:
    whole.run(tmp_path / "run", tmp_path / "result.json", "--seed", "1")
    one, other = (load_file(folder / checkpoint.FILE) for folder in (tmp_path / "run", whole.folder))
    for name in ("body.weight", "body.weight.mask", "buffer.labels"):
        assert not np.array_equal(one[name], other[name]), name


@pytest.mark.parametrize("place", ["header", "names", "arrays", "last byte", "cut", "empty"])
def test_a_damaged_checkpoint(place: str, whole: Whole, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole.folder, tmp_path / "run"))
    path = folder / checkpoint.FILE
    content = bytearray(path.read_bytes())
    at = {"header": 0, "names": 60, "arrays": len(content) // 2, "last byte": -1}.get(place, 0)
    content[at] ^= 1
    path.write_bytes({"cut": content[:-9], "empty": b""}.get(place, content))
    damaged = path.read_bytes()
    outcome = call("run", *whole.arguments(folder, tmp_path / "result.json", "--resume"))
    check_refused(outcome, path, "damaged", "without --resume")
    assert path.read_bytes() == damaged
    assert os.listdir(tmp_path) == ["run"]


def test_a_new_run_keeps_the_old_checkpoint(whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(whole.folder, tmp_path / "run"))
    finished = (folder / checkpoint.FILE).read_bytes()
    for _ in range(2):  # the second time there is nothing worth keeping in the place of the finished run
        assert kill_at_step(whole, whole.arguments(folder, tmp_path / "result.json"), monkeypatch, 3)
        assert (folder / checkpoint.PREVIOUS).read_bytes() == finished


def test_load_says_what_differs(tmp_path: Path) -> None:
    arrays = {"w": np.arange(3, dtype=np.float32), "n": np.array(7)}
    counters = {"counters": {"task": 0, "epoch": 0}}
    checkpoint.save(tmp_path, arrays, counters, {"seed": 1})
    found, progress = checkpoint.load(tmp_path, {"seed": 1})
    assert progress == counters
    assert {name: (a.dtype, a.tolist()) for name, a in found.items()} == {
        "w": (np.float32, [0.0, 1.0, 2.0]),
        "n": (np.int64, 7),  # a scalar stays one
    }
    with pytest.raises(CheckpointError, match="`seed` 1, this one has 2"):
        checkpoint.load(tmp_path, {"seed": 2})
    with pytest.raises(CheckpointError, match="`lr` None, this one has 1"):
        checkpoint.load(tmp_path, {"seed": 1, "lr": 1})


@pytest.mark.parametrize(
    ("data", "samples", "refused"),
    [
        ("cifar10:there", "a", ""),
        ("held-out:cifar10:here", "a", "with `data`"),
        ("folder:here", "a", "with `data`"),
        ("digits", "a", "with `data`"),
        ("cifar10:there", "b", "with `data`"),
        ("cifar10:here", "b", "with other samples"),
    ],
)
def test_samples_that_lie_elsewhere(data: str, samples: str, refused: str, tmp_path: Path) -> None:
    """The same ones from another source are refused: whether batches are changed at random goes by the source."""
    checkpoint.save(tmp_path, {}, {}, {"data": "cifar10:here", "samples": "a"})
    if not refused:
        checkpoint.load(tmp_path, {"data": data, "samples": samples})
        return
    with pytest.raises(CheckpointError, match=refused):
        checkpoint.load(tmp_path, {"data": data, "samples": samples})


@pytest.mark.parametrize("version", ["1", "2", "4"])
def test_another_version_of_the_checkpoint(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_files, "VERSION", version)
    checkpoint.save(tmp_path, {"w": np.zeros(2)}, {}, {})
    monkeypatch.undo()
    mend = "use it with the program that wrote it, or start the run again, without `resume`"
    with pytest.raises(CheckpointError, match=f"version {version}, this program reads version 3; {mend}"):
        checkpoint.load(tmp_path, {})
