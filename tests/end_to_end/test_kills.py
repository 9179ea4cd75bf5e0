"""A command that is killed at any step leaves everything whole, old or new, and the next one removes what it left.

``KILLS=50`` adds so many kills at random passes and steps; without it there are three of each kind.
"""

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from sparcl_compile import load
from sparcl_compile.interface.stopping import SIGNALS
from sparcl_compile.runtime import checkpoint
from tests.support.cli import ENVIRONMENT, SMALL_RUN, call, check_refused, command_line, write_data, write_model
from tests.support.kills import Nursery, Point, nursery

KILLS = int(os.environ.get("KILLS", "3"))
EXCHANGE = "sparcl_compile.interface.files:exchange"
FORMS = {"masked": (), "folded": ("--scheme", "channel", "--fold"), "compressed": ("--compress",)}
STOPPED = 128
"""With the number of a signal the exit code of a command that it has stopped."""

SWAP = "sparcl_compile.interface.files:_swap"
BEGUN_POINTS = (
    Point("tempfile:mkdtemp", after=True),
    Point("sparcl_compile.compiling.compiler:write", after=True),
    Point("os:fsync"),
    Point("os:fsync", 9),
)
"""From the first trace of a new artifact to its last file."""
FOLDER_POINTS = (
    *BEGUN_POINTS,
    Point(EXCHANGE),
    Point(EXCHANGE, after=True),
    Point("os:fsync", since=SWAP),
    Point("shutil:rmtree", since=SWAP),
    Point("os:unlink", 3, since=SWAP),
    Point("os:rmdir", since=SWAP),
    Point("shutil:rmtree", after=True, since=SWAP),
    Point("os:replace", since=SWAP, exchange=False),
    Point("os:replace", after=True, since=SWAP, exchange=False),
    Point("os:replace", 2, after=True, since=SWAP, exchange=False),
    Point("os:replace", 3, after=True, since=SWAP, exchange=False),
)
"""From the first trace of a new artifact to the last one of the old."""
WINDOW_POINTS = (
    Point(EXCHANGE, after=True),
    Point("os:replace", after=True, since=SWAP, exchange=False),
    Point("os:replace", 2, after=True, since=SWAP, exchange=False),
)
"""The moments in which the old artifact and the new one both have other names than before."""
BEGINNING_POINTS = (
    Point("tempfile:mkstemp", 2, after=True),
    Point("os:fsync"),
    Point("os:link"),
    Point("os:link", after=True),
    Point("os:replace"),
    Point("os:replace", after=True),
    Point("os:replace", 2),
    Point("os:replace", 2, after=True),
)
"""The first checkpoint of a run in the folder of another one, which is set aside."""
LATER_POINTS = (
    Point("os:fsync", 5),
    Point("os:replace", 3),
    Point("os:replace", 3, after=True),
    Point("os:replace", 5),
)
EXPORT_POINTS = (
    Point("tempfile:mkstemp", after=True),
    Point("tempfile:mkstemp", 3, after=True),
    Point("os:fsync", 2),
    *(Point("os:replace", number) for number in (1, 2, 3)),
    Point("os:replace", 3, after=True),
)


@pytest.fixture(scope="module")
def killer() -> Iterator[Nursery]:
    with nursery() as made:
        yield made


class Place:
    """A folder with a model, its data, an artifact and a finished run."""

    def __init__(self, folder: Path, killer: Nursery) -> None:
        self.folder, self.killer = folder, killer
        self.model, self.artifact = write_model(folder), folder / "a.sparcl"
        self.data = write_data(folder)
        self.compile("0.75")
        self.checkpoint = folder / "run"
        killer.done("run", *self.run_arguments())

    def compile(self, sparsity: str, *options: object) -> None:
        self.killer.done("compile", *self.compile_arguments(sparsity, *options))

    def compile_arguments(self, sparsity: str, *options: object) -> tuple[object, ...]:
        return (self.model, "-o", self.artifact, "--sparsity", sparsity, *options)

    def run_arguments(self, *more: object) -> tuple[object, ...]:
        return (self.artifact, "--data", self.data, *SMALL_RUN, "--checkpoint", self.checkpoint, *more)

    def check_clean(self) -> None:
        left = [path.name for folder in (self.folder, self.checkpoint) for path in folder.glob(".*")]
        assert left == []


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, killer: Nursery) -> Place:
    return Place(tmp_path_factory.mktemp("kills"), killer)


@pytest.fixture
def place(made: Place) -> Iterator[Place]:
    """The folder as it was in the beginning, for every test."""
    kept = made.folder.with_name("kept")
    shutil.copytree(made.folder, kept)
    yield made
    shutil.rmtree(made.folder)
    kept.rename(made.folder)


def sparsity_of(artifact: Path) -> float:
    """The sparsity of an artifact that is whole."""
    return float(load(artifact).manifest.options.sparsity)


@pytest.mark.parametrize("form", FORMS)
def test_a_compilation_killed_at_every_step(form: str, place: Place) -> None:
    old, new = ("0.5", *FORMS[form]), ("0.75", *FORMS[form])
    place.compile(*old)
    for point in FOLDER_POINTS if form == "masked" else WINDOW_POINTS:
        place.killer.kill(point, "compile", *place.compile_arguments(*new))
        assert sparsity_of(place.artifact) in (0.5, 0.75), point
        place.compile(*old)
        assert sparsity_of(place.artifact) == 0.5
        place.check_clean()


def test_a_first_compilation_killed_at_every_step(place: Place) -> None:
    for point in (*BEGUN_POINTS, Point("os:replace", since=SWAP), Point("os:replace", after=True, since=SWAP)):
        shutil.rmtree(place.artifact)
        place.killer.kill(point, "compile", *place.compile_arguments("0.5"))
        if place.artifact.exists():
            assert sparsity_of(place.artifact) == 0.5
        place.compile("0.5")
        place.check_clean()


@pytest.mark.parametrize("point", BEGINNING_POINTS, ids=str)
def test_a_new_run_killed_while_it_sets_the_old_one_aside(point: Point, place: Place) -> None:
    finished = (place.checkpoint / checkpoint.FILE).read_bytes()
    place.killer.kill(point, "run", *place.run_arguments("--seed", "1"))
    found = checkpoint.read(place.checkpoint)
    kept = [path.read_bytes() for path in place.checkpoint.glob("state*")]
    assert finished in kept
    place.killer.done("run", *place.run_arguments("--resume", "--seed", str(found.identity["seed"])))
    place.check_clean()


@pytest.mark.parametrize("point", LATER_POINTS, ids=str)
def test_a_run_killed_at_a_later_checkpoint(point: Point, place: Place) -> None:
    finished = (place.checkpoint / checkpoint.FILE).read_bytes()
    place.killer.kill(point, "run", *place.run_arguments())
    checkpoint.read(place.checkpoint)
    place.killer.done("run", *place.run_arguments("--resume"))
    assert_same_run(place.checkpoint / checkpoint.FILE, finished)
    place.check_clean()


def assert_same_run(path: Path, finished: bytes) -> None:
    from safetensors.numpy import load as tensors

    found, wanted = tensors(path.read_bytes()), tensors(finished)
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], wanted[name], equal_nan=True) for name in found)


def test_an_export_killed_at_every_step(place: Place) -> None:
    target = place.folder / "m.onnx"
    files = [target, target.with_suffix(".ort")]
    old = (place.artifact, "--initial", "--ort-format", "-o", target)
    new = (place.artifact, "--checkpoint", place.checkpoint, "--ort-format", "-o", target)
    whole = []
    for arguments in (new, old):
        place.killer.done("export", *arguments)
        whole.append(target.read_bytes())
    for point in EXPORT_POINTS:
        place.killer.kill(point, "export", *new)
        assert target.read_bytes() in whole, point
        for file in files:
            onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        place.killer.done("export", *old)
        place.check_clean()


def test_a_kill_between_two_renames_is_mended_by_whoever_looks(place: Place) -> None:
    point = Point("os:replace", after=True, since=SWAP, exchange=False)
    place.killer.kill(point, "compile", *place.compile_arguments("0.5"))
    assert not place.artifact.exists()
    place.killer.done("run", *place.run_arguments("--resume"))
    assert sparsity_of(place.artifact) == 0.75


@pytest.mark.parametrize("trial", range(KILLS))
def test_a_signal_at_a_random_pass(trial: int, place: Place) -> None:
    number = (signal.SIGKILL, *SIGNALS)[trial % (1 + len(SIGNALS))]
    before = sorted(os.listdir(place.folder))
    passes = len(list((place.artifact / "passes").iterdir()))
    point = Point(
        "sparcl_compile.compiling.compiler:Recorder.__call__",
        random.Random(trial).randint(1, passes),
        number=number,
    )
    ended = place.killer.run(point, "compile", *place.compile_arguments("0.5"))
    assert sparsity_of(place.artifact) == 0.75
    if number != signal.SIGKILL:
        assert (ended.code, ended.err) == (STOPPED + number, "error: interrupted\n")
        assert sorted(os.listdir(place.folder)) == before
    place.compile("0.5")
    place.check_clean()
    assert sorted(os.listdir(place.folder)) == before


@pytest.mark.parametrize("trial", range(KILLS))
def test_a_signal_at_a_random_step(trial: int, place: Place) -> None:
    number = (signal.SIGKILL, *SIGNALS)[trial % (1 + len(SIGNALS))]
    finished = (place.checkpoint / checkpoint.FILE).read_bytes()
    step = random.Random(trial).randint(1, 20)
    point = Point("sparcl_compile.runtime.reporting.progress:Reporter.step", step, number=number)
    ended = place.killer.run(point, "run", *place.run_arguments())
    if number != signal.SIGKILL:
        assert ended.code == STOPPED + number
        assert ended.err.startswith("error: interrupted; continue after the last whole epoch")
        assert ended.err.count("\n") == 1
        assert "--resume" in ended.err
        place.check_clean()
    place.killer.done("run", *place.run_arguments("--resume"))
    assert_same_run(place.checkpoint / checkpoint.FILE, finished)
    place.check_clean()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_from_outside(number: signal.Signals, place: Place) -> None:
    """At the first line of a run that would take very long."""
    arguments = place.run_arguments("--epochs", "4000")
    command = ["env", f"--default-signal={number.name.removeprefix('SIG')}", *command_line("run", *arguments)]
    environment = {**ENVIRONMENT, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True) as run:
        assert run.stdout is not None
        run.stdout.readline()
        run.send_signal(number)
        _, err = run.communicate(timeout=120)
    assert run.returncode == STOPPED + number
    assert err.startswith("error: interrupted; continue after the last whole epoch, in ")
    assert err.count("\n") == 1
    outcome = call("run", *place.run_arguments("--epochs", "3999", "--resume"))
    check_refused(outcome, "epochs 4000")  # so the checkpoint is whole
    place.check_clean()
