"""The learner's kit accepts the learner of every language, and none whose interpreter has a fault."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.learning import LEARNER, LearnerKit, Play, Turn, found, in_python, played
from tests.conformance.record_learner import record_learner
from tests.conformance.test_replay import (
    Patch,
    all_gradients_in_one,
    batches_before_feeds,
    into_the_accumulators,
    late_events,
    no_running_statistics,
)
from tests.java import jvm
from tests.js import tools
from tests.runtime.kernels.arm64.machine import Unready

KIT = LearnerKit()
AGAIN = "python -m tests.conformance.record makes it anew; look at what has changed"
Faulty = Callable[[str], Play]
"""Gives the play of a language with the fault of a name."""


def lines(text: str) -> list[Any]:
    """What a program told, a line for each."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def told(turn: Turn, state: Path) -> Path:
    path = state.with_name("turn.json")
    path.write_text(json.dumps(turn), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def java() -> Faulty:
    try:
        machine = jvm.jvm("linux")
    except Unready as error:
        pytest.skip(str(error))

    def with_fault(fault: str) -> Play:
        return lambda turn, artifact, state, samples: lines(
            machine.run("Calls", artifact, state, samples, told(turn, state), fault)
        )

    return with_fault


@pytest.fixture(scope="module")
def node() -> Faulty:
    if reason := tools.missing():
        pytest.skip(reason)
    tools.build()

    def with_fault(fault: str) -> Play:
        return lambda turn, artifact, state, samples: lines(
            tools.run("node", "dist/test/calls.js", artifact, state, samples, told(turn, state), fault)
        )

    return with_fault


def differing(play: Play, folder: Path) -> list[str]:
    return found(played(KIT, folder / "state", play), KIT.content)


def test_the_learner_of_python(tmp_path: Path) -> None:
    assert differing(in_python, tmp_path) == []


def test_the_learner_of_java(java: Faulty, tmp_path: Path) -> None:
    assert differing(java(""), tmp_path) == []


def test_the_learner_of_javascript(node: Faulty, tmp_path: Path) -> None:
    assert differing(node(""), tmp_path) == []


@pytest.mark.parametrize(
    "fault",
    [into_the_accumulators, all_gradients_in_one, late_events, batches_before_feeds, no_running_statistics],
)
def test_a_fault_of_python_is_noticed(fault: Patch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault(monkeypatch)
    assert differing(in_python, tmp_path)


@pytest.mark.parametrize("fault", ["wrong-order", "skipped-event", "no-into"])
def test_a_fault_of_java_is_noticed(fault: str, java: Faulty, tmp_path: Path) -> None:
    assert differing(java(fault), tmp_path)


@pytest.mark.parametrize("fault", ["wrongOrder", "skippedEvent", "lateEvents"])
def test_a_fault_of_javascript_is_noticed(fault: str, node: Faulty, tmp_path: Path) -> None:
    assert differing(node(fault), tmp_path)


def test_the_kit_is_what_the_learner_does_today(tmp_path: Path) -> None:
    (tmp_path / "der").symlink_to(KIT.folder.parent / "der")
    made = record_learner(tmp_path)
    assert made.folder.name == LEARNER
    assert found(made.content, KIT.content) == [], AGAIN
    assert made.samples.read_bytes() == KIT.samples.read_bytes(), AGAIN


def test_the_kit_has_every_call_and_every_end() -> None:
    turns = KIT.content["turns"]
    calls = [call for turn in turns for call in turn["calls"]]
    assert {call["do"] for call in calls} == {"learn", "observe", "predict", "evaluate", "report", "end_task", "save"}
    assert {call["gives"].get("reason") for call in calls} == {None, "done", "steps", "cancelled"}
    assert sum("refused" in call["gives"] for call in calls) >= 8
    assert {turn["close"] for turn in turns} == {True, False}
    assert any(turn["state"]["kept"] for turn in turns)
    assert any("pending.safetensors" in turn["state"]["files"] for turn in turns)
    assert any(turn["state"]["learning"] for turn in turns)
