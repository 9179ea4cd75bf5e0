"""Locks: two processes that would destroy each other's work are told so, and a lock goes with its process."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sparcl_compile import export_model, load
from sparcl_compile.interface import flock, locks
from sparcl_compile.interface.errors import ArtifactError, CheckpointError, WriteError
from tests.support.cli import ENVIRONMENT, SMALL_RUN, call, check_refused, contents, done, write_artifact, write_data

HOLD = """
import sys
from pathlib import Path
from sparcl_compile import export_model, load
from sparcl_compile.interface import locks
from sparcl_compile.interface.errors import CheckpointError
path, shared = Path(sys.argv[1]), sys.argv[2] == "shared"
with locks.reading(path) if shared else locks.writing(path, path.parent, CheckpointError):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(path: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a lock until it is killed."""
    command = [sys.executable, "-c", HOLD, str(path), how]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_lock_names_the_process_that_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "run" / ".lock"
    with (
        holder(path, "alone") as other,
        pytest.raises(CheckpointError, match=rf"\(process {other.pid} on {socket.gethostname()}, since 20"),
        locks.writing(path, path.parent, CheckpointError),
    ):
        pass


def test_a_lock_goes_with_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "run" / ".lock"
    with holder(path, "alone") as other:
        kill(other)
    assert path.exists()
    with locks.writing(path, path.parent, CheckpointError):
        assert path.read_text().startswith(f"{os.getpid()} ")
    assert list(contents(tmp_path)) == ["run"]


@pytest.mark.parametrize("program", ["java learner", "node app.js"])
def test_the_name_of_a_living_program_without_such_locks_is_a_lock(program: str, tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with subprocess.Popen(["sleep", "60"]) as other:
        line = f"{other.pid} {socket.gethostname()} 2026-11-29T04:30:00 {program}\n"
        path.write_text(line)
        with (
            pytest.raises(CheckpointError, match=rf"{program} \(process {other.pid} on"),
            locks.writing(path, tmp_path, CheckpointError),
        ):
            pass
        assert path.read_text() == line
        kill(other)
    with locks.writing(path, tmp_path, CheckpointError):
        assert path.read_text().startswith(f"{os.getpid()} ")
    assert not path.exists()


def test_the_name_of_a_living_program_with_such_locks_is_none(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_text(f"{os.getppid()} {socket.gethostname()} 2026-11-29T04:30:00 python\n")
    with locks.writing(path, tmp_path, CheckpointError):
        assert path.read_text().startswith(f"{os.getpid()} ")


def test_the_folder_of_a_lock_stays_where_something_came_into_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run" / ".lock"
    with locks.writing(path, path.parent, CheckpointError):
        (path.parent / "state").touch()
    assert list(contents(tmp_path)) == ["deep", "deep/run", "deep/run/state"]


def test_readers_share_and_keep_a_writer_out(tmp_path: Path) -> None:
    artifact = tmp_path / "a.sparcl"
    artifact.mkdir()
    place = locks.beside(artifact)
    with locks.reading(artifact):
        with holder(artifact, "shared") as first, holder(artifact, "shared") as second:
            kill(second)
            with (
                pytest.raises(WriteError, match=f"process {os.getpid()} .* and .*process {first.pid} on ") as found,
                locks.writing(place, artifact, WriteError),
            ):
                pass
            assert str(second.pid) not in str(found.value).split()
        with pytest.raises(WriteError), locks.writing(place, artifact, WriteError):
            pass
    with locks.writing(place, artifact, WriteError):
        pass
    assert list(contents(tmp_path)) == ["a.sparcl"]


def test_a_writer_keeps_readers_out(tmp_path: Path) -> None:
    with (
        locks.writing(locks.beside(tmp_path / "a"), tmp_path / "a", WriteError),
        pytest.raises(
            ArtifactError, match=rf"/a: is being replaced by .*process {os.getpid()} on .*; wait for its end"
        ),
        locks.reading(tmp_path / "a"),
    ):
        pass


def test_a_place_that_cannot_be_written_is_read_without_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with locks.reading(tmp_path / "a.sparcl"):
        pass
    with (
        pytest.raises(WriteError, match=r"/run: cannot be written \(Permission denied\); change the permissions"),
        locks.writing(tmp_path / "run" / ".lock", tmp_path / "run", WriteError),
    ):
        pass
    assert contents(tmp_path) == {}


def test_a_file_system_without_locks_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(flock.fcntl, "flock", unsupported)
    with locks.writing(tmp_path / ".lock", tmp_path, WriteError):
        pass


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / ".lock").symlink_to(tmp_path / "target")
    with pytest.raises(WriteError), locks.writing(tmp_path / ".lock", tmp_path, WriteError):
        pass
    assert (tmp_path / "target").read_text() == "precious"


def test_the_commands_refuse_a_folder_in_use(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path)
    run = ["run", artifact, "--data", write_data(tmp_path), *SMALL_RUN]
    done(*run)
    before = contents(tmp_path)
    with locks.writing(tmp_path / "cnn_bn.run" / ".lock", tmp_path, WriteError):
        for more in ([], ["--resume"]):
            check_refused(call(*run, *more), "cnn_bn.run: is in use by", f"process {os.getpid()}", "as --checkpoint")
    with locks.reading(artifact):
        check_refused(call("compile", tmp_path / "cnn_bn.onnx"), "cnn_bn.sparcl: is in use by", str(os.getpid()))
        done(*run, "--resume")
    with locks.writing(locks.beside(artifact), artifact, WriteError):
        check_refused(call(*run), "cnn_bn.sparcl: is being replaced by", "wait")
        check_refused(call("export", artifact), "cnn_bn.sparcl: is being replaced by", "wait")
        check_refused(call("compile", tmp_path / "cnn_bn.onnx"), "cnn_bn.sparcl: is in use by")
    assert contents(tmp_path) == before


def test_an_artifact_that_was_replaced_since_it_was_loaded(tmp_path: Path) -> None:
    artifact = load(write_artifact(tmp_path))
    done("compile", tmp_path / "cnn_bn.onnx", "--sparsity", "0.5")
    with pytest.raises(ArtifactError, match="has been compiled again since it was loaded; load it again"):
        export_model(artifact, initial=True)
    export_model(load(artifact.folder), initial=True)
