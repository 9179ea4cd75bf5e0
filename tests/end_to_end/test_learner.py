"""A learner from one end to the other: tasks by names, budgets, answers, states that go on, and refusals."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator
from safetensors import safe_open

import sparcl_compile
from sparcl_compile import RunConfig, learn, load
from sparcl_compile.api.learner import Learner as WithExport
from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import (
    CheckpointError,
    DataError,
    FieldError,
    SparclError,
    TrainingError,
    WriteError,
)
from sparcl_compile.runtime import checkpoint
from sparcl_compile.runtime.learner.learner import Learner
from sparcl_compile.runtime.learner.results import Learned, Step
from sparcl_compile.runtime.learner.standing import Standing
from tests.support import story
from tests.support.cli import call, check_refused, contents

EPOCHS = 3
STATE = "state.safetensors"
Part = tuple[np.ndarray, list[str]]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return story.compiled(tmp_path_factory.mktemp("learner"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def digits(artifact: Artifact, *classes: int, **more: int) -> Part:
    return story.digits(artifact.folder.parent, classes, **more)


def content(state: Path) -> tuple[dict[str, np.ndarray], dict[str, Any], dict[str, Any]]:
    """The tensors of a state, its progress but for the time that it took, and its identity."""
    with safe_open(state / STATE, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        progress, identity = (json.loads(file.metadata()[name]) for name in ("progress", "identity"))
    del progress["seconds"]
    return arrays, progress, identity


def check_same(state: Path, other: Path) -> None:
    """Check that two states are equal to the bit."""
    one, two = content(state), content(other)
    assert one[1:] == two[1:]
    assert one[0].keys() == two[0].keys()
    assert [name for name in one[0] if one[0][name].tobytes() != two[0][name].tobytes()] == []


@pytest.fixture(scope="module")
def learned(artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a learner that has learned two tasks of two classes each, without a stop."""
    state = tmp_path_factory.mktemp("learned") / "state"
    with story.opened(artifact, state) as learner:
        for task in ((0, 1), (2, 3)):
            assert learner.learn(*digits(artifact, *task), epochs=EPOCHS).reason == "done"
    return state


@pytest.fixture
def learner(artifact: Artifact, learned: Path, state: Path) -> Iterator[Learner]:
    """A learner in a copy of that state."""
    shutil.copytree(learned, state)
    with story.opened(artifact, state) as opened:
        yield opened


# What it learns


def test_three_tasks_by_names_answers_and_a_report(artifact: Artifact, state: Path) -> None:
    with story.opened(artifact, state) as learner:
        for number, task in enumerate(((0, 1, 2), (3, 4), (5, 6))):
            found = learner.learn(*digits(artifact, *task, each=80), epochs=5)
            assert (found.reason, learner.tasks) == ("done", number + 1)
            assert found.loss is not None
        images, names = digits(artifact, *range(7), each=20, start=120)
        answers = learner.predict(images)
        assert set(answers.classes) == set(story.NAMES[:7])
        assert answers.probabilities.dtype == np.float32
        np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1.0, rtol=1e-6)
        best = [answers.classes[place] for place in answers.probabilities.argmax(axis=1)]
        assert list(answers.names) == best
        right = np.mean([name == answer for name, answer in zip(names, answers.names, strict=True)])
        assert right > 0.8
        found_again = learner.evaluate(images, names)
        assert found_again.accuracy == pytest.approx(100 * right)
        assert found_again.samples == len(names)
        for name, share in found_again.by_class.items():
            own = [answer == name for answer, label in zip(answers.names, names, strict=True) if label == name]
            assert share == pytest.approx(100 * np.mean(own))
        report = learner.report()
        assert (report.tasks, report.places, report.classes) == (3, 10, learner.classes)
        assert (report.accuracy, report.accuracy_by_class) == (found_again.accuracy, found_again.by_class)
        assert report.sparsity == pytest.approx(0.8, abs=0.01)
        assert 0 < report.training_flops.true_sparse < report.training_flops.true_dense
        assert min(report.samples_seen, report.samples_replayed) > 0
        assert report.state_bytes > 100_000
        assert report.process_bytes is None or report.process_bytes > report.state_bytes
    counters = content(state)[1]["counters"]
    names_of_counters = ("samples_seen", "samples_replayed", "samples_removed")
    assert [getattr(report, name) for name in names_of_counters] == [counters[name] for name in names_of_counters]
    with story.opened(artifact, state) as again:
        kept = dataclasses.replace(again.report(), process_bytes=report.process_bytes)
        assert kept == report
        np.testing.assert_array_equal(again.predict(images).probabilities, answers.probabilities)


def test_answers_among_some_classes(learner: Learner, artifact: Artifact) -> None:
    images, names = digits(artifact, 0, 1, 2, 3, each=10, start=100)
    whole = learner.predict(images)
    second = learner.predict(images, task=1)
    assert second.classes == ("two", "three")
    assert set(second.names) <= {"two", "three"}
    some = learner.predict(images, classes=["three", "zero"])
    assert some.classes == ("zero", "three")
    columns = whole.probabilities[:, [whole.classes.index(name) for name in some.classes]]
    np.testing.assert_allclose(some.probabilities, columns / columns.sum(axis=1, keepdims=True), atol=1e-6)
    assert learner.predict(images[:0]).probabilities.shape == (0, 4)
    own = [name for name in names if name in ("two", "three")]
    of_task = learner.evaluate(images[[name in own for name in names]], own, task=1)
    assert of_task.accuracy >= learner.evaluate(images[[name in own for name in names]], own).accuracy
    assert of_task.by_class.keys() == {"two", "three"}


def test_old_classes_may_come_again_with_new_ones(learner: Learner, artifact: Artifact, state: Path) -> None:
    learner.learn(*digits(artifact, 1, 4, each=12, start=40), epochs=1)
    assert learner.classes == ("zero", "one", "two", "three", "four")
    assert content(state)[1]["samples"]["classes_by_task"] == [[0, 1], [2, 3], [1, 4]]


def test_numbers_are_names(artifact: Artifact, state: Path) -> None:
    images, _ = digits(artifact, 7, 8, each=6)
    with story.opened(artifact, state) as learner:
        learner.learn(images, np.repeat([42, -1], 6), epochs=1, steps=1)
        assert learner.classes == ("42", "-1")
        assert learner.predict(images[:2], classes=[42]).names == ("42", "42")


# One loop: a learner and a run


def test_a_learner_learns_as_a_run_does(artifact: Artifact, state: Path, tmp_path: Path) -> None:
    images, names = digits(artifact, 0, 1, 2, 3)
    labels = np.array([story.NAMES.index(name) for name in names])
    np.savez(tmp_path / "data.npz", x_train=images[:, None], y_train=labels, x_test=images[:, None], y_test=labels)
    options: dict[str, Any] = {"normalise": "unit", "augment": "none", "buffer_size": 40, "batch_size": 8, "seed": 3}
    config = RunConfig(data=f"npz:{tmp_path / 'data.npz'}", tasks=2, epochs=EPOCHS, threads=1, **options)
    learn(artifact, config, tmp_path / "run")
    with story.opened(artifact, state, batch=8, seed=3, normalise="unit", augment="none") as learner:
        for task in ((0, 1), (2, 3)):
            own = np.isin(labels, task)
            learner.learn(images[own], labels[own], epochs=EPOCHS)
    ran, learned = content(tmp_path / "run"), content(state)
    apart = [name for name in ran[0] if name.startswith(("accuracy.", "score."))]
    assert [n for n, a in ran[0].items() if n not in apart and a.tobytes() != learned[0][n].tobytes()] == []
    assert ran[1]["counters"] == learned[1]["counters"]


def test_a_learner_goes_on_with_a_run(artifact: Artifact, tmp_path: Path) -> None:
    images, names = digits(artifact, 0, 1, 2)
    labels = np.array([story.NAMES.index(name) for name in names])
    np.savez(tmp_path / "data.npz", x_train=images[:, None], y_train=labels, x_test=images[:, None], y_test=labels)
    config = RunConfig(data=f"npz:{tmp_path / 'data.npz'}", tasks=3, epochs=1, threads=1, buffer_size=40)
    learn(artifact, config, tmp_path / "run")
    with story.opened(artifact, tmp_path / "run") as learner:
        assert (learner.tasks, learner.classes) == (3, ("0", "1", "2"))
        learner.learn(*digits(artifact, 3), epochs=1)
    with story.opened(artifact, tmp_path / "run") as learner:
        assert (learner.tasks, learner.classes) == (4, ("0", "1", "2", "three"))


# Budgets


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


def test_samples_that_wait_are_there_in_the_next_learner(artifact: Artifact, state: Path, tmp_path: Path) -> None:
    images, names = digits(artifact, 4, 5, each=3)
    for place, kept in ((state, False), (tmp_path / "other", True)):
        for image, name in zip(images, names, strict=True):
            with story.opened(artifact, place) as learner:
                learner.observe(image, name, steps=0)
                if not kept:
                    continue
        with story.opened(artifact, place) as learner:
            assert (learner.waiting, set(learner.classes)) == (6, {"four", "five"})
            with pytest.raises(DataError, match="they are float32 1x8x8, this learner has learned uint8 1x8x8"):
                learner.predict(images.astype(np.float32))
            learner.learn(epochs=1)
    check_same(state, tmp_path / "other")


# Forms of samples


def test_forms_of_images_that_are_the_same(artifact: Artifact, learned: Path, tmp_path: Path) -> None:
    forms: dict[str, Callable[[np.ndarray], Any]] = {
        "grey": lambda x: x,
        "channel first": lambda x: x[:, None],
        "channel last": lambda x: x[..., None],
        "a list": list,
        "lists": lambda x: list(x[..., None]),
    }
    for name, form in forms.items():
        with story.opened(artifact, tmp_path / name) as learner:
            for task in ((0, 1), (2, 3)):
                images, names = digits(artifact, *task)
                learner.learn(form(images), names, epochs=EPOCHS)
        check_same(tmp_path / name, learned)


def test_images_of_other_sizes_are_resized(learner: Learner, artifact: Artifact) -> None:
    images, _ = digits(artifact, 0, 1, each=2)
    twice = images.repeat(2, axis=1).repeat(2, axis=2)
    wide = images.repeat(3, axis=2)
    one, other = (learner.predict(x).probabilities for x in (twice, wide))
    several = learner.predict([images[0], twice[1], wide[2], images[3]]).probabilities
    np.testing.assert_allclose(
        several,
        np.stack(
            [learner.predict(images).probabilities[0], one[1], other[2], learner.predict(images).probabilities[3]]
        ),
        atol=1e-6,
    )


def test_floats_are_taken_as_they_are(artifact: Artifact, state: Path) -> None:
    images, names = digits(artifact, 0, 1)
    with story.opened(artifact, state) as learner:
        learner.learn(images / 16.0, names, epochs=1)
    progress = content(state)[1]["samples"]
    assert (progress["type"], progress["shape"], progress["normalise"]["scale"]) == ("float32", [1, 8, 8], 1.0)
    np.testing.assert_allclose(progress["normalise"]["mean"], [(images / 16.0).mean()], rtol=1e-4)


# Export


def test_an_exported_model_answers_as_the_learner(artifact: Artifact, learned: Path, tmp_path: Path) -> None:
    shutil.copytree(learned, tmp_path / "state")
    images, _ = digits(artifact, 0, 1, 2, 3, each=3)
    with WithExport.open(artifact, tmp_path / "state", threads=1) as learner:
        facts = learner.export(tmp_path / "out.onnx")
        answers = learner.predict(images)
    assert facts["tasks_learned"] == 2
    formula = content(learned)[1]["samples"]["normalise"]
    x = (images[:, None] / formula["scale"] - formula["mean"][0]) / formula["std"][0]
    model = ReferenceEvaluator(str(tmp_path / "out.onnx"))
    logits = model.run(None, {model.input_names[0]: x.astype(np.float32)})[0][:, :4]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(answers.probabilities, powers / powers.sum(axis=1, keepdims=True), atol=1e-4)


def test_the_command_exports_a_learner_in_the_middle_of_an_epoch(
    artifact: Artifact, state: Path, tmp_path: Path
) -> None:
    with story.opened(artifact, state) as learner:
        learner.learn(*digits(artifact, 0, 1), epochs=EPOCHS, steps=2)
    out = tmp_path / "out.onnx"
    outcome = call("export", artifact.folder, "-o", out, "--checkpoint", state)
    assert outcome.code == 0, outcome.err
    assert out.exists()


def test_an_export_before_anything_is_learned(artifact: Artifact, state: Path, tmp_path: Path) -> None:
    with (
        WithExport.open(artifact, state) as learner,
        pytest.raises(DataError, match="nothing is learned yet; call `learn` first"),
    ):
        learner.export(tmp_path / "out.onnx")
    assert sparcl_compile.Learner is WithExport


# Refusals


def refused(learner: Learner, state: Path, error: type[SparclError], message: str, act: Callable[[], object]) -> None:
    """Check that a call is refused and changes nothing, neither on disk nor in memory."""
    before, known = contents(state), (learner.classes, learner.tasks, learner.under_way, learner.waiting)
    with pytest.raises(error, match=message):
        act()
    assert contents(state) == before
    assert (learner.classes, learner.tasks, learner.under_way, learner.waiting) == known


IMAGE = np.zeros((8, 8), np.uint8)
WRONG: dict[str, tuple[Callable[[Learner], object], str]] = {
    "labels and samples": (lambda one: one.learn([IMAGE] * 3, ["a", "b"]), "there are 2 for 3 samples; give one a"),
    "no samples": (lambda one: one.learn([], []), "there are none; give at least one"),
    "a label that is no name": (lambda one: one.learn([IMAGE], [1.5]), "1.5 is no name; give texts or whole numbers"),
    "an empty name": (lambda one: one.observe(IMAGE, ""), "'' is no name"),
    "a truth": (lambda one: one.observe(IMAGE, True), "True is no name"),
    "no labels": (lambda one: one.learn([IMAGE]), "is no name"),
    "the head is full": (
        lambda one: one.learn([IMAGE] * 7, list("abcdefg")),
        r"'g' is new, and the head of .*digits.sparcl has 10 classes, all taken; compile the model again with "
        "sparcl-compile --classes 11",
    ),
    "channels": (lambda one: one.learn(np.zeros((2, 8, 8, 3), np.uint8), ["a", "b"]), r"takes images with 1 channels"),
    "a type": (lambda one: one.learn(np.zeros((1, 8, 8)), ["a"]), "they are float32 1x8x8, this learner has learned u"),
    "integers": (lambda one: one.learn(np.zeros((1, 8, 8), int), ["a"]), r"is int64; save it as uint8 \(0 to 255\) or"),
    "infinite": (lambda one: one.observe(np.full((8, 8), np.nan), "a"), "NaN or infinite"),
    "axes": (lambda one: one.learn(np.zeros((1, 1, 1, 8, 8), np.uint8), ["a"]), r"the array is \[1, 1, 1, 8, 8\]"),
    "several types": (
        lambda one: one.learn([IMAGE, IMAGE.astype(np.float32)], ["a", "a"]),
        "some are float32 1x8x8 and others uint8 1x8x8",
    ),
    "an unknown label": (lambda one: one.evaluate([IMAGE], ["dog"]), "'dog' is no class that was learned; there are: "),
    "nothing to evaluate": (lambda one: one.evaluate([], []), "there are none; give at least one"),
    "an unknown class": (lambda one: one.predict([IMAGE], classes=["dog"]), "'dog' is no class that was learned"),
    "no classes": (lambda one: one.predict([IMAGE], classes=[]), "there are none to choose among"),
    "a task that is not there": (lambda one: one.predict([IMAGE], task=2), "task 2: 2 tasks are learned, counted fro"),
    "a task and classes": (lambda one: one.predict([IMAGE], task=0, classes=["zero"]), "give one of them"),
    "steps": (lambda one: one.learn(steps=0), "`steps` 0: give at least 1"),
    "seconds": (lambda one: one.learn(seconds=0.0), "`seconds` 0.0: give a number above 0"),
    "epochs": (lambda one: one.learn([IMAGE], ["a"], epochs=0), "`epochs` 0: give a number from 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_calls_that_are_refused(name: str, learner: Learner, state: Path) -> None:
    act, message = WRONG[name]
    refused(learner, state, SparclError, message, lambda: act(learner))


def test_another_task_while_one_is_under_way(learner: Learner, artifact: Artifact, state: Path) -> None:
    learner.learn(*digits(artifact, 4), epochs=EPOCHS, steps=1)
    message = r"a task is under way; finish it with `learn\(\)`, or end it as it is with `end_task\(\)`"
    refused(learner, state, DataError, message, lambda: learner.learn(*digits(artifact, 5)))


def test_questions_before_anything_is_learned(artifact: Artifact, state: Path) -> None:
    with story.opened(artifact, state) as learner:
        for act in (lambda: learner.predict([IMAGE]), lambda: learner.evaluate([IMAGE], ["a"]), learner.report):
            refused(learner, state, DataError, "nothing is learned yet; call `learn` or `observe` first", act)
        learner.save()
    assert not state.exists() or os.listdir(state) == []


OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "seed": ({"seed": -1}, "`seed` -1"),
    "buffer": ({"buffer": 0}, "`buffer_size` 0: give at least 1"),
    "batch": ({"batch": 0}, "`batch_size` 0: give at least 1"),
    "learning_rate": ({"learning_rate": 0.0}, "`learning_rate` 0.0"),
    "threads": ({"threads": 0}, "`threads` 0"),
    "augment": ({"augment": "jitter_shift_scale"}, "does not suit samples of layout NCHW; give auto, none or crop_"),
    "normalise": ({"normalise": "whiten"}, "`normalise` whiten: give one of auto, unit, raw"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_that_are_refused(name: str, artifact: Artifact, state: Path) -> None:
    given, message = OPTIONS[name]
    with pytest.raises(FieldError, match=message):
        story.opened(artifact, state, **given)
    assert not state.exists()


def test_other_options_than_the_state_has(artifact: Artifact, learned: Path) -> None:
    before = contents(learned)
    for given, message in (
        ({"seed": 1}, "has seed 0, this learner 1"),
        ({"buffer": 41}, "has buffer_size 40, this lea"),
    ):
        with pytest.raises(CheckpointError, match=f"{message}.*; leave it out, or name another folder as `state`"):
            story.opened(artifact, learned, **given)
    assert contents(learned) == before


def test_a_state_in_an_artifact(artifact: Artifact) -> None:
    with pytest.raises(FieldError, match=r"`state` .* is a compiled artifact or inside of one"):
        story.opened(artifact, artifact.folder / "state")


def test_a_second_learner_in_one_process(learner: Learner, artifact: Artifact, state: Path) -> None:
    with pytest.raises(
        CheckpointError, match=rf"is in use by .* \(process {os.getpid()} on .*another folder as `state`"
    ):
        story.opened(artifact, state)
    assert learner.learn().reason == "done"


def test_a_state_of_another_artifact(learned: Path, tmp_path: Path) -> None:
    other = story.compiled(tmp_path, sparsity=0.5)
    with pytest.raises(
        CheckpointError, match=r"is a state of another artifact than .*; give that artifact, or another f"
    ):
        story.opened(other, learned)


def test_a_damaged_state(artifact: Artifact, learned: Path, state: Path) -> None:
    shutil.copytree(learned, state)
    whole = (state / STATE).read_bytes()
    for at in (20, len(whole) // 2, len(whole) - 1):
        broken = bytearray(whole)
        broken[at] ^= 1
        (state / STATE).write_bytes(broken)
        with pytest.raises(CheckpointError, match=r"is damaged \(.*\); restore it from a copy, or name another folder"):
            story.opened(artifact, state)
        assert (state / STATE).read_bytes() == broken
    (state / STATE).write_bytes(whole)
    with story.opened(artifact, state) as learner:
        assert learner.tasks == 2


def test_damaged_or_missing_samples(artifact: Artifact, state: Path) -> None:
    with story.opened(artifact, state) as learner:
        learner.learn(*digits(artifact, 0, 1), epochs=EPOCHS, steps=1)
        learner.observe(*(one[0] for one in digits(artifact, 2, each=1)), steps=0)
    for name in (next(path.name for path in state.glob("samples-*")), "pending.safetensors"):
        whole = (state / name).read_bytes()
        (state / name).write_bytes(whole[:-1])
        with pytest.raises(CheckpointError, match=rf"{name}: is damaged \(.*\); restore it from a copy"):
            story.opened(artifact, state)
        (state / name).write_bytes(whole)
    samples = next(state.glob("samples-*"))
    samples.rename(state / "elsewhere")
    with pytest.raises(CheckpointError, match=r"samples-\w+.safetensors: "):
        story.opened(artifact, state)


CONTENT: dict[str, tuple[Callable[[dict[str, np.ndarray], dict[str, Any]], object], str]] = {
    "one kept value of several": (lambda arrays, _: arrays.pop("value.order"), "a value is missing"),
    "a kept value that is no number": (
        lambda arrays, _: arrays.update({"value.done": np.zeros((1, 1), np.int64)}),
        "a value is no number",
    ),
    "no task": (lambda _, progress: progress.pop("learning"), "learning"),
    "epochs": (lambda _, progress: progress["learning"].update(epochs=0), "below 1"),
    "a path": (lambda _, progress: progress["learning"].update(file="../a.safetensors"), "it names '../a.safetensors'"),
    "taken": (lambda _, progress: progress.update(taken=-1), "below"),
    "more classes than places": (
        lambda _, progress: progress["samples"].update(classes=list("abcdefghijk")),
        "the head",
    ),
    "a task of other classes": (lambda _, progress: progress["samples"].update(classes_by_task=[[7]]), "the head"),
}


@pytest.mark.parametrize("name", CONTENT)
def test_content_that_no_learner_writes(name: str, artifact: Artifact, state: Path) -> None:
    with story.opened(artifact, state) as learner:
        learner.learn(*digits(artifact, 0, 1), epochs=EPOCHS, steps=1)
    change, message = CONTENT[name]
    found = checkpoint.read(state)
    change(found.arrays, found.progress)
    checkpoint.save(state, found.arrays, found.progress, found.identity, again=False)
    with pytest.raises(CheckpointError, match=rf"is damaged .*{message}.*; restore it from a copy"):
        story.opened(artifact, state)


def test_a_loss_that_is_no_number(artifact: Artifact, learned: Path, state: Path) -> None:
    shutil.copytree(learned, state)
    with story.opened(artifact, state, learning_rate=1e30) as learner:
        with pytest.raises(TrainingError, match=r"lower `learning_rate` \(now 1e\+30\)"):
            learner.learn(*digits(artifact, 4, 5), epochs=EPOCHS)
        assert (learner.tasks, learner.under_way) == (2, True)
        learner.end_task()
        images, _ = digits(artifact, 0, each=3)
        answers = learner.predict(images, task=0)
    with story.opened(artifact, learned) as whole:
        np.testing.assert_array_equal(whole.predict(images, task=0).probabilities, answers.probabilities)


def test_a_full_disk_loses_nothing(
    learner: Learner, artifact: Artifact, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, names = digits(artifact, 4, each=8)
    for image, name in zip(images[:7], names, strict=False):
        learner.observe(image, name, steps=0)

    def full(*_: object, **__: object) -> None:
        raise WriteError("state.safetensors: No space left on device; free some")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", full)
        with pytest.raises(WriteError, match="No space left"):
            learner.observe(images[7], names[7])
        assert (learner.waiting, learner.under_way, learner.observed) == (8, False, 8)
        with pytest.raises(WriteError, match="No space left"):
            learner.learn(*digits(artifact, 5))
        assert (learner.waiting, learner.under_way, learner.tasks) == (8, False, 2)
    assert learner.learn(epochs=1).reason == "done"
    assert (learner.waiting, learner.tasks) == (0, 3)
    assert set(os.listdir(state)) == {STATE, ".lock"}


def test_the_command_that_runs_refuses_a_learner_s_state(artifact: Artifact, learned: Path) -> None:
    outcome = call("run", artifact.folder, "--data", "digits", "--checkpoint", learned, "--resume")
    check_refused(outcome, "belongs to a run with")


def test_a_closed_learner_gives_its_folder_back(artifact: Artifact, state: Path) -> None:
    story.opened(artifact, state).close()
    story.opened(load(artifact.folder), state).close()
