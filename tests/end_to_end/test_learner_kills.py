"""A learner that is killed at any moment has lost the current epoch at most, and ends as one that was not killed."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from sparcl_compile.interface.artifact import Artifact, load
from sparcl_compile.interface.errors import CheckpointError
from sparcl_compile.runtime.learner import folder as folders
from sparcl_compile.runtime.learner.folder import StateFolder
from tests.support import story
from tests.support.kills import Point

KILLS = int(os.environ.get("SPARCL_KILLS", "5"))
"""Random kills; 50 by hand."""
STATE = "state.safetensors"


def content(folder: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The tensors of a state and its progress, but for the time that it took."""
    with safe_open(folder / STATE, framework="numpy") as file:
        arrays = {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118 - not a dict
        progress = json.loads(file.metadata()["progress"])
    del progress["seconds"]
    return arrays, progress


class Whole:
    """The story without a kill, and how long it took."""

    def __init__(self, folder: Path) -> None:
        self.artifact = story.compiled(folder)
        began = time.monotonic()
        story.tell(self.artifact, folder / "whole")
        self.seconds = time.monotonic() - began
        self.content = content(folder / "whole")

    def check(self, state: Path) -> None:
        arrays, progress = content(state)
        assert progress == self.content[1]
        assert [name for name in arrays if arrays[name] != self.content[0][name]] == []
        assert os.listdir(state) == [STATE]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("story"))


def lived(artifact: Artifact, state: Path, seconds: float | None, *points: Point) -> list[list[str]]:
    """Live the story in a process of its own; return what it told.

    It is killed so many seconds behind its opening, or kills itself at a point.
    """
    armed = [json.dumps(dataclasses.asdict(point)) for point in points]
    command = [sys.executable, "-m", "tests.support.story", str(artifact.folder), str(state), *armed]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(story.ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        if seconds is not None:
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL)
        assert process.returncode or not points
    return [line.split() for line in rest.splitlines(keepends=True) if line.endswith("\n")]


def check_nothing_lost(artifact: Artifact, state: Path, told: list[list[str]]) -> None:
    """Check that all that was told is there, but for the current epoch, and that nothing else is."""
    steps = [(int(line[1]), int(line[2])) for line in told if line[0] == "step"]
    observed = [int(line[1]) for line in told if line[0] == "observed"]
    with story.opened(artifact, state) as learner:
        counted = learner.observed
        assert observed == [] or counted >= observed[-1]
    found = StateFolder(state).read(artifact)
    if steps:
        assert found is not None
        assert (found.progress["counters"]["task"], found.progress["counters"]["epoch"]) >= steps[-1]
    learning = found.progress["learning"] if found else None
    expected = {STATE if found else None, "pending.safetensors", learning and learning["file"]}
    assert set(os.listdir(state)) <= expected


@pytest.mark.parametrize("seed", range((KILLS + 4) // 5))
def test_kills_at_random_moments(seed: int, whole: Whole, tmp_path: Path) -> None:
    moments, state = random.Random(seed), tmp_path / "state"
    for _ in range(5):
        told = lived(whole.artifact, state, moments.uniform(0.0, whole.seconds / 2))
        check_nothing_lost(whole.artifact, state, told)
    lived(whole.artifact, state, None)
    whole.check(state)


FOLDER = "sparcl_compile.runtime.learner.folder:StateFolder"
SAVE = "sparcl_compile.runtime.checkpoint:save"
BETWEEN = (
    Point(f"{FOLDER}.write_samples"),
    Point(f"{FOLDER}.write_samples", after=True),
    Point(f"{FOLDER}.write_samples", 3, after=True),
    Point(SAVE, after=True),
    Point(SAVE, 4),
    Point(f"{FOLDER}.tidy", 5),
    Point(f"{FOLDER}.write_pending", 8, after=True),
    Point(f"{FOLDER}.write_pending", 9),
    Point(f"{FOLDER}.write_pending", 9, after=True),
)


@pytest.mark.parametrize("point", BETWEEN, ids=str)
def test_kills_between_two_files(point: Point, whole: Whole, tmp_path: Path) -> None:
    state = tmp_path / "state"
    told = lived(whole.artifact, state, None, point)
    assert ["done"] not in told
    check_nothing_lost(whole.artifact, state, told)
    story.tell(whole.artifact, state)
    whole.check(state)


def test_a_learner_in_another_process_holds_the_state(whole: Whole, tmp_path: Path) -> None:
    code = f"""
import sys
from sparcl_compile import Learner
with Learner.open({str(whole.artifact.folder)!r}, {str(tmp_path / "state")!r}):
    print("open", flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(CheckpointError, match=rf"is in use by -c \(process {other.pid} on .* as `state`"):
            story.opened(load(whole.artifact.folder), tmp_path / "state")
        other.kill()
    with story.opened(whole.artifact, tmp_path / "state") as learner:
        assert learner.tasks == 0


def test_the_parts_of_the_story_are_there(whole: Whole) -> None:
    assert whole.content[1]["counters"]["task"] == len(story.TASKS) + 2
    assert whole.content[1]["taken"] == 2 * story.TOGETHER
    assert np.frombuffer(whole.content[0]["buffer.seen"], np.int64)[0] > 0
    assert folders.PENDING not in os.listdir(whole.artifact.folder.parent / "whole")
