"""A disk that has room and no inodes: every command ends in one line or does its work, and nothing is lost."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import SMALL_RUN, Outcome, call, check_refused, contents, done, write_artifact, write_data

INODES = 1000
FREE = (0, 1, 2, 3, 5, 8, 16, 40, 100, 250)
"""Inodes that are left, the last more than any command needs at a time."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with few inodes, which only root can mount."""
    place = tmp_path / "disk"
    place.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    options = f"size=64m,nr_inodes={INODES}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def starve(disk: Path, free: int) -> None:
    """Leave so many inodes free."""
    filler = disk / "filler"
    filler.mkdir(exist_ok=True)
    for number in itertools.count(len(list(filler.iterdir()))):
        try:
            (filler / str(number)).touch()
        except OSError:
            break
    for path in sorted(filler.iterdir(), key=lambda one: int(one.name))[::-1][:free]:
        path.unlink()
    assert os.statvfs(disk).f_ffree == free


def kept(disk: Path) -> dict[str, str]:
    """The files that are not only there to fill the disk."""
    return {name: digest for name, digest in contents(disk).items() if not name.startswith("filler")}


def tried(disk: Path, *command: object) -> tuple[list[int], Outcome]:
    """Call a command with more inodes each time until it succeeds: the inodes of its refusals, and its success."""
    refused: list[int] = []
    for free in FREE:
        before = kept(disk)
        starve(disk, free)
        outcome = call(*command)  # type: ignore[arg-type]
        if outcome.code == 0:
            return refused, outcome
        refused.append(free)
        check_refused(outcome, "No space left on device")
        if command[0] != "run":
            assert kept(disk) == before
        assert not [name for name in kept(disk) if name.startswith(".") or "/." in name]
    raise AssertionError(f"{command} needs more than {FREE[-1]} inodes")


def test_an_artifact_is_whole_or_not_there_and_an_older_one_stays(disk: Path) -> None:
    artifact = write_artifact(disk)
    assert tried(disk, "compile", disk / "cnn_bn.onnx", "--sparsity", "0.75", "-o", disk / "new.sparcl")[0]
    assert tried(disk, "compile", disk / "cnn_bn.onnx", "--sparsity", "0.5")[0]
    starve(disk, 0)
    for path in (artifact, disk / "new.sparcl"):
        done("inspect", path)


def test_a_run_keeps_the_state_of_the_last_one_and_an_export_the_file(disk: Path) -> None:
    artifact, data = write_artifact(disk), write_data(disk)
    run = ("run", artifact, "--data", data, *SMALL_RUN, "--json", disk / "result.json")
    assert tried(disk, *run)[0]
    state = (disk / "cnn_bn.run" / "state.safetensors").read_bytes()
    starve(disk, 0)
    outcome = call(*run)
    if outcome.code:
        check_refused(outcome, "No space left on device")
        assert state in [path.read_bytes() for path in (disk / "cnn_bn.run").iterdir()]
    assert tried(disk, "export", artifact)[0]
    starve(disk, 0)
    done("inspect", artifact, "--json")
    refused = call("export", artifact)
    check_refused(refused, "No space left on device")
