"""A learner learns in parts: budgets of steps and seconds, progress that cancels, samples one by one."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.learner.learner import Learner
from sparcl_compile.runtime.learner.results import Learned, Step
from sparcl_compile.runtime.learner.standing import Standing
from tests.end_to_end.learner.content import EPOCHS, STATE, check_same, content, digits
from tests.support import story
from tests.support.cli import contents


def whole_in_parts(artifact: Artifact, state: Path, part: Callable[[Learner, tuple[Any, ...]], Learned]) -> int:
    """Learn the tasks of ``learned`` a part at a time, in a new learner each; return how many parts there were."""
    tasks, parts = ((0, 1), (2, 3)), 0
    while True:
        with story.opened(artifact, state) as learner:
            if not learner.under_way and learner.tasks == len(tasks):
                return parts
            given = () if learner.under_way else digits(artifact, *tasks[learner.tasks])
            part(learner, given)
            parts += 1


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_steps_in_learners_of_their_own_are_those_of_one(
    steps: int, artifact: Artifact, learned: Path, state: Path
) -> None:
    found: list[Learned] = []

    def part(learner: Learner, given: tuple[Any, ...]) -> Learned:
        found.append(learner.learn(*given, epochs=EPOCHS, steps=steps))
        return found[-1]

    parts = whole_in_parts(artifact, state, part)
    check_same(state, learned)
    assert os.listdir(state) == [STATE]
    assert parts == len(found)
    assert {one.reason for one in found} <= {"steps", "done"}
    assert all(one.steps == steps for one in found if one.reason == "steps")
    assert sum(one.steps for one in found) == content(learned)[1]["counters"]["step"]


FORMS: dict[str, tuple[int, dict[str, Any]]] = {
    "lwf": (2, {"method": "lwf", "momentum": 0.9}),
    "ewc": (2, {"method": "ewc", "optimizer": "adamw"}),
    "a-gem": (2, {"method": "a-gem", "gradient_sparsity": 0.9}),
    "icarl": (2, {"method": "icarl"}),
    "fdr": (2, {"method": "fdr", "mask_policy": "mest-em-s"}),
    "snip": (2, {"method": "er", "mask_policy": "snip"}),
    "growth by momentum": (2, {"method": "er", "mask_policy": "set", "growth": "momentum"}),
    # A stage ends after 2.5 epochs, in which every sample came twice.
    "removals": (25, {"data_removal": 0.3, "sparsity": 0.0, "gradient_sparsity": 0.0}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_way_of_learning_goes_on_in_the_middle_of_an_epoch(form: str, tmp_path: Path) -> None:
    epochs, options = FORMS[form]
    artifact, removed = story.compiled(tmp_path, **options), []

    def whole(learner: Learner, given: tuple[Any, ...]) -> Learned:
        return learner.learn(*given, epochs=epochs)

    def part(learner: Learner, given: tuple[Any, ...]) -> Learned:
        found = learner.learn(*given, epochs=epochs, steps=7)
        arrays, progress, _ = content(tmp_path / "parts")
        removed.append("value.order" in arrays and progress["counters"]["removed"] > 0)
        return found

    assert whole_in_parts(artifact, tmp_path / "whole", whole) == 2
    assert whole_in_parts(artifact, tmp_path / "parts", part) >= 4
    check_same(tmp_path / "parts", tmp_path / "whole")
    assert any(removed) == (form == "removals")


def test_a_learner_in_another_process_goes_on_in_the_middle_of_an_epoch(
    artifact: Artifact, learned: Path, state: Path
) -> None:
    with story.opened(artifact, state) as learner:
        learner.learn(*digits(artifact, 0, 1), epochs=EPOCHS)
        assert learner.learn(*digits(artifact, 2, 3), epochs=EPOCHS, steps=7).reason == "steps"
    assert "value.order" in content(state)[0]
    code = (
        "from pathlib import Path\n"
        "from sparcl_compile.interface.artifact import load\n"
        "from tests.support import story\n"
        f"with story.opened(load(Path({str(artifact.folder)!r})), Path({str(state)!r})) as learner: learner.learn()"
    )
    environment = {**os.environ, "PYTHONPATH": str(story.ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    check_same(state, learned)


def test_a_progress_function_sees_every_step_and_cancels(artifact: Artifact, learned: Path, state: Path) -> None:
    seen: list[Step] = []

    def show(step: Step) -> bool:
        seen.append(step)
        return len(seen) % 5 != 0

    with story.opened(artifact, state) as learner:
        found = learner.learn(*digits(artifact, 0, 1), epochs=EPOCHS, progress=show)
        assert (found.reason, found.steps, learner.under_way) == ("cancelled", 5, True)
        while learner.under_way:
            found = learner.learn(progress=show)
        assert found.reason == "done"
        learner.learn(*digits(artifact, 2, 3), epochs=EPOCHS)
    check_same(state, learned)
    assert [(one.task, one.epochs) for one in seen] == [(0, EPOCHS)] * len(seen)
    assert [one.done for one in seen][: seen[0].total] == list(range(1, seen[0].total + 1))
    assert all(np.isfinite(one.loss) and 0.0 <= one.sparsity <= 1.0 for one in seen)


def test_a_progress_function_may_ask(artifact: Artifact, learned: Path, state: Path) -> None:
    images, _ = digits(artifact, 0, each=2)
    with story.opened(artifact, state) as learner:
        for task in ((0, 1), (2, 3)):
            learner.learn(*digits(artifact, *task), epochs=EPOCHS, progress=lambda _: learner.predict(images))
    check_same(state, learned)


def test_a_progress_function_that_fails(artifact: Artifact, learned: Path, state: Path) -> None:
    def fail(step: Step) -> None:
        if step.done == 2:
            raise RuntimeError("the app")

    with story.opened(artifact, state) as learner:
        with pytest.raises(RuntimeError, match="the app"):
            learner.learn(*digits(artifact, 0, 1), epochs=EPOCHS, progress=fail)
        assert learner.learn().reason == "done"
        learner.learn(*digits(artifact, 2, 3), epochs=EPOCHS)
    check_same(state, learned)


class Clock:
    """Time that goes on by one second each time it is asked."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_a_budget_of_seconds(artifact: Artifact, learned: Path, state: Path) -> None:
    def part(learner: Learner, given: tuple[Any, ...]) -> Learned:
        return learner.learn(*given, epochs=EPOCHS, seconds=6.0)

    first = Learner.open(artifact, state, threads=1, buffer=40, clock=Clock())
    with first as learner:
        found = part(learner, digits(artifact, 0, 1))
        assert found.reason == "seconds"
        assert 1 <= found.steps <= 6
        while learner.under_way:
            part(learner, ())
        part(learner, digits(artifact, 2, 3))
        while learner.under_way:
            part(learner, ())
    check_same(state, learned)


def test_every_call_makes_a_step_however_late_it_is(artifact: Artifact, state: Path) -> None:
    with Learner.open(artifact, state, threads=1, clock=Clock()) as learner:
        found = learner.learn(*digits(artifact, 0, 1), seconds=1e-9)
        assert (found.reason, found.steps) == ("seconds", 1)
        found = learner.learn(seconds=1e-9)
        assert (found.reason, found.steps) == ("seconds", 1)


def test_with_nothing_to_do_a_call_is_done(learner: Learner) -> None:
    assert learner.learn(seconds=1.0) == Learned("done", 0, None)


def test_a_task_may_be_ended_as_it_stands(learner: Learner, artifact: Artifact, state: Path) -> None:
    learner.learn(*digits(artifact, 4, 5), epochs=EPOCHS, steps=3)
    assert len(os.listdir(state)) == 3  # state, samples, lock
    learner.end_task()
    assert (learner.tasks, learner.under_way) == (3, False)
    assert set(os.listdir(state)) == {STATE, ".lock"}
    assert not [name for name in content(state)[0] if name.startswith("value.")]
    with pytest.raises(DataError, match="no task is under way"):
        learner.end_task()
    assert learner.learn(*digits(artifact, 6), epochs=1).reason == "done"


def killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_first_task_is_not_ended_before_a_step_of_it(
    artifact: Artifact, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learner that was killed between the beginning and the first step stands so."""
    with story.opened(artifact, state) as learner:
        task = digits(artifact, 4, 5)
        with monkeypatch.context() as patch:
            patch.setattr(Standing, "study", killed)
            with pytest.raises(KeyboardInterrupt):
                learner.learn(*task, epochs=EPOCHS)
        assert learner.under_way
        with pytest.raises(DataError, match=r"nothing of the task under way is learned yet; call `learn\(\)` first"):
            learner.end_task()
        learner.learn(steps=1)
        learner.end_task()
        assert learner.tasks == 1


def test_a_learning_rate_holds_for_the_task_under_way(artifact: Artifact, state: Path) -> None:
    with story.opened(artifact, state) as learner:
        learner.learn(*digits(artifact, 4, 5), epochs=EPOCHS, steps=1)
    with story.opened(artifact, state, learning_rate=0.001) as learner:
        learner.learn(steps=1)
    assert content(state)[1]["learning_rates"] == [{"after_epochs": 0, "learning_rate": 0.001}]


# Samples one by one


def observed(learner: Learner, artifact: Artifact, classes: tuple[int, ...], **budget: Any) -> list[Learned]:
    images, names = digits(artifact, *classes, each=8)
    return [learner.observe(image, name, epochs=2, **budget) for image, name in zip(images, names, strict=True)]


def test_observed_samples_become_a_task_when_a_batch_is_there(learner: Learner, artifact: Artifact) -> None:
    found = observed(learner, artifact, (4, 5))
    assert [one.steps > 0 for one in found] == [number % 8 == 7 for number in range(16)]
    assert (learner.tasks, learner.observed, learner.waiting) == (4, 16, 0)
    assert learner.classes[4:] == ("four", "five") or learner.classes[4:] == ("five", "four")
    images, names = digits(artifact, 4, 5, each=8)
    assert learner.evaluate(images, names, classes=["four", "five"]).accuracy > 60


def test_observed_samples_are_learned_in_steps(learner: Learner, artifact: Artifact, state: Path) -> None:
    found = observed(learner, artifact, (4, 5), steps=1)
    assert {one.steps for one in found} <= {0, 1}
    assert sum(one.steps for one in found) >= 2
    while learner.under_way or learner.waiting:
        assert learner.learn(steps=1).steps == 1
    assert learner.observed == 16
    assert content(state)[1]["taken"] == 16


def test_without_steps_a_sample_is_only_kept(learner: Learner, artifact: Artifact, state: Path) -> None:
    before = contents(state)[STATE]
    assert all(one == Learned("done", 0, None) for one in observed(learner, artifact, (4, 5), steps=0))
    assert (learner.waiting, learner.under_way) == (16, False)
    assert contents(state)[STATE] == before
    assert learner.learn(epochs=1).reason == "done"
    assert (learner.waiting, learner.tasks) == (0, 3)
    assert set(os.listdir(state)) == {STATE, ".lock"}


def observe_all(artifact: Artifact, state: Path, samples: Sequence[tuple[np.ndarray, str]]) -> None:
    with story.opened(artifact, state) as learner:
        for image, name in samples:
            learner.observe(image, name, steps=0)


def test_samples_that_wait_are_there_in_the_next_learner(artifact: Artifact, state: Path, tmp_path: Path) -> None:
    images, names = digits(artifact, 4, 5, each=3)
    samples, one_by_one = list(zip(images, names, strict=True)), tmp_path / "one by one"
    observe_all(artifact, state, samples)
    for sample in samples:
        observe_all(artifact, one_by_one, [sample])
    for place in (state, one_by_one):
        with story.opened(artifact, place) as learner:
            assert (learner.waiting, set(learner.classes)) == (6, {"four", "five"})
            with pytest.raises(DataError, match="they are float32 1x8x8, this learner has learned uint8 1x8x8"):
                learner.learn(images.astype(np.float32), names)
            learner.learn(epochs=1)
    check_same(state, one_by_one)
