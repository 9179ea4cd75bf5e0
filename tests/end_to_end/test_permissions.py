"""Files that a user may not read or write, and full or read-only disks: one line, code 2, nothing lost."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sparcl_compile.interface import files
from tests.support.cli import (
    SMALL_RUN,
    Outcome,
    call,
    check_refused,
    contents,
    done,
    write_artifact,
    write_data,
)

NOBODY = 65534


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Root may read everything; the block runs as a user who may not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def as_user(command: str, *args: object) -> Outcome:
    with unprivileged():
        return call(command, *args)


def images(folder: Path) -> None:
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(folder / label / f"{number}.png")


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A model, its artifact, a run, an export and data, in a folder that other users reach."""
    folder = Path(tempfile.mkdtemp())
    write_artifact(folder)
    run = ["run", folder / "cnn_bn.sparcl", "--data", write_data(folder), *SMALL_RUN]
    done(*run)
    done("export", folder / "cnn_bn.sparcl", "--ort-format")
    done("inspect", folder / "cnn_bn.onnx")
    images(folder / "images")
    own(folder)
    yield folder
    shutil.rmtree(folder)


def own(folder: Path) -> None:
    """Give a folder to the user of ``unprivileged``."""
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)


@pytest.fixture
def place(made: Path) -> Iterator[Path]:
    """A copy of it."""
    folder = Path(tempfile.mkdtemp())
    shutil.copytree(made, folder, dirs_exist_ok=True)
    own(folder)
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


COMMANDS: dict[str, Callable[[Path], list[object]]] = {
    "run": lambda p: ["run", p / "cnn_bn.sparcl", "--data", f"npz:{p / 'data.npz'}", *SMALL_RUN],
    "resume": lambda p: [*COMMANDS["run"](p), "--resume"],
    "images": lambda p: ["run", p / "cnn_bn.sparcl", "--data", f"folder:{p / 'images'}", *SMALL_RUN],
    "compile": lambda p: ["compile", p / "cnn_bn.onnx"],
    "export": lambda p: ["export", p / "cnn_bn.sparcl"],
    "inspect": lambda p: ["inspect", p / "cnn_bn.sparcl"],
    "inspect model": lambda p: ["inspect", p / "cnn_bn.onnx"],
    "opt": lambda p: ["opt", p / "cnn_bn.onnx"],
}

UNREADABLE = (
    ("run", "data.npz"),
    ("run", "cnn_bn.sparcl"),
    ("run", "cnn_bn.sparcl/manifest.json"),
    ("run", "cnn_bn.sparcl/manifest.sha256"),
    ("run", "cnn_bn.sparcl/report.json"),
    ("run", "cnn_bn.sparcl/state.safetensors"),
    ("run", "cnn_bn.sparcl/eval/eval_model.onnx"),
    ("run", "cnn_bn.sparcl/eval"),
    ("resume", "cnn_bn.run/state.safetensors"),
    ("resume", "cnn_bn.run"),
    ("images", "images"),
    ("images", "images/a"),
    ("images", "images/a/0.png"),
    ("compile", "cnn_bn.onnx"),
    ("compile", "cnn_bn.sparcl"),
    ("export", "cnn_bn.run/state.safetensors"),
    ("export", "cnn_bn.run"),
    ("export", "cnn_bn.learned.onnx"),
    ("export", "cnn_bn.sparcl"),
    ("inspect", "cnn_bn.sparcl"),
    ("inspect", "cnn_bn.sparcl/report.json"),
    ("inspect model", "cnn_bn.onnx"),
    ("opt", "cnn_bn.onnx"),
)


@pytest.mark.parametrize(("command", "name"), UNREADABLE)
def test_what_cannot_be_read(command: str, name: str, place: Path) -> None:
    before = contents(place)
    (place / name).chmod(0)
    outcome = as_user(*COMMANDS[command](place))  # type: ignore[arg-type]
    (place / name).chmod(0o755)
    check_refused(outcome, name.partition("/")[0], "Permission denied", "permissions")
    assert "damaged" not in outcome.err
    assert "not a .npz" not in outcome.err
    assert contents(place) == before


def test_a_folder_that_cannot_be_entered(place: Path) -> None:
    place.chmod(0)
    for given in COMMANDS.values():
        outcome = as_user(*given(place))  # type: ignore[arg-type]
        check_refused(outcome, place, "Permission denied", "permissions")
    place.chmod(0o755)


UNWRITABLE = (
    ("compile", ["-o", "shut/new.sparcl"]),
    ("compile", ["-o", "shut/deep/new.sparcl"]),
    ("compile", ["-o", "new.sparcl", "--dump-passes", "shut/dumps"]),
    ("run", ["--checkpoint", "shut"]),
    ("run", ["--checkpoint", "shut/run"]),
    ("resume", ["--checkpoint", "shut"]),
    ("run", ["--json", "shut/result.json"]),
    ("export", ["-o", "shut/new.onnx"]),
    ("export", ["-o", "shut/new.onnx", "--ort-format"]),
    ("opt", ["-o", "shut/new.onnx"]),
)


@pytest.mark.parametrize(("command", "options"), UNWRITABLE)
def test_where_nothing_can_be_written(command: str, options: list[str], place: Path) -> None:
    shutil.copytree(place / "cnn_bn.run", place / "shut")
    own(place)
    before = contents(place)
    (place / "shut").chmod(0o555)
    there = [one if one.startswith("-") else str(place / one) for one in options]
    outcome = as_user(*COMMANDS[command](place), *there)  # type: ignore[arg-type]
    check_refused(outcome, place / "shut", "Permission denied", "permissions", "nothing was changed")
    assert contents(place) == before


def test_a_read_only_artifact_is_run_and_exported(place: Path) -> None:
    """An installed artifact may lie where its user cannot write."""
    (place / "system").mkdir()
    (place / "cnn_bn.sparcl").rename(place / "system" / "a.sparcl")
    (place / "out").mkdir()
    own(place)
    (place / "system").chmod(0o555)
    run = ["run", place / "system" / "a.sparcl", "--data", f"npz:{place / 'data.npz'}", *SMALL_RUN]
    outcome = as_user(*run, "--checkpoint", place / "out" / "run")
    assert outcome.code == 0, outcome
    outcome = as_user("export", run[1], "--checkpoint", place / "out" / "run", "-o", place / "out" / "a.onnx")
    assert outcome.code == 0, outcome
    assert os.listdir(place / "system") == ["a.sparcl"]


# Disks


def refusing(monkeypatch: pytest.MonkeyPatch, code: int, after: int = 0) -> None:
    """Let the disk refuse to flush a file, after some flushes that succeed."""
    sync, made = files.sync, []

    def full(path: Path) -> None:
        made.append(path)
        if len(made) > after:
            raise OSError(code, os.strerror(code))
        sync(path)

    monkeypatch.setattr(files, "sync", full)


DISK = (
    ("compile", []),
    ("compile", ["-o", "new.sparcl"]),
    ("run", []),
    ("run", ["--checkpoint", "new.run"]),
    ("export", []),
    ("export", ["--ort-format"]),
    ("export", ["--ort-format", "-o", "new.onnx"]),
    ("opt", ["-o", "new.onnx"]),
)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize(("command", "options"), DISK)
def test_a_disk_that_refuses(
    command: str, options: list[str], code: int, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(made)
    refusing(monkeypatch, code)
    there = [one if one.startswith("-") else str(made / one) for one in options]
    outcome = call(*COMMANDS[command](made), *there)  # type: ignore[arg-type]
    check_refused(outcome, made, os.strerror(code), "choose another place", "nothing was changed")
    assert contents(made) == before


@pytest.mark.parametrize("whole", [1, 2])
def test_a_disk_that_fills_between_the_files_of_an_export(
    whole: int, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(made)
    refusing(monkeypatch, errno.ENOSPC, whole)
    check_refused(call("export", made / "cnn_bn.sparcl", "--ort-format"), "No space left", "nothing was changed")
    assert contents(made) == before


def test_a_disk_that_fills_within_a_run_keeps_the_last_whole_epoch(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first checkpoint is two flushes: its file and its folder."""
    before = contents(place)
    with monkeypatch.context() as patch:
        refusing(patch, errno.ENOSPC, 2)
        check_refused(call(*COMMANDS["run"](place), "--seed", "3"), "state.safetensors", "No space left")
    after = contents(place)
    assert after["cnn_bn.run/state.previous.safetensors"] == before["cnn_bn.run/state.safetensors"]
    resumed = done(*COMMANDS["run"](place), "--seed", "3", "--resume")
    assert "resuming after 0 of 4" in resumed.out


def test_an_error_of_the_system_that_no_part_foresees_is_one_line(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> str:
        raise OSError(errno.EIO, "Input/output error", "some/file")

    monkeypatch.setattr("sparcl_compile.cli.inspecting.summary", broken)
    check_refused(call("inspect", made / "cnn_bn.sparcl"), "some/file: the system refuses (Input/output error)")
