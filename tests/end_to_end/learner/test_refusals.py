"""What a learner refuses, and that nothing has changed then: calls, options, states, a full disk."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparcl_compile import load
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
from tests.end_to_end.learner.content import EPOCHS, STATE, digits
from tests.support import story
from tests.support.cli import call, check_refused, contents


def refused(learner: Learner, state: Path, error: type[SparclError], message: str, act: Callable[[], object]) -> None:
    """Check that a call is refused and changes nothing, neither on disk nor in memory."""
    before, known = contents(state), (learner.classes, learner.tasks, learner.under_way, learner.waiting)
    with pytest.raises(error, match=message):
        act()
    assert contents(state) == before
    assert (learner.classes, learner.tasks, learner.under_way, learner.waiting) == known


IMAGE = np.zeros((8, 8), np.uint8)
WRONG: dict[str, tuple[Callable[[Any], object], str]] = {
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
    "channels": (lambda one: one.learn(np.zeros((2, 8, 8, 3), np.uint8), ["a", "b"]), "takes images with 1 channel,"),
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
    "half a step": (lambda one: one.learn(steps=1.5), "`steps` 1.5: give a whole number"),
    "seconds as a text": (lambda one: one.learn(seconds="3"), "`seconds` 3: give a number above 0"),
    "epochs as a text": (lambda one: one.learn(epochs="3"), "`epochs` 3: give a whole number"),
    "progress": (lambda one: one.learn(progress=3), "`progress` 3: give a function that takes a step"),
    "a path": (lambda one: one.predict("photo.png"), "'photo.png' is no array; give one, or a list of them"),
    "nothing to ask": (lambda one: one.predict(None), "None is no array; give one"),
    "one class as a text": (lambda one: one.predict([IMAGE], classes="zero"), "'zero' is one name; give a list"),
    "a task as a text": (lambda one: one.predict([IMAGE], task="0"), "`task` 0: give a whole number"),
    "one image": (
        lambda one: one.predict(IMAGE),
        r"is \[8, 8\]; give \[N, height, width\], \[N, 1, height, width",
    ),
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
        check_answers_nothing(learner, state)
        learner.save()
    assert not state.exists() or os.listdir(state) == []


def check_answers_nothing(learner: Learner, state: Path) -> None:
    for act in (lambda: learner.predict([IMAGE]), lambda: learner.evaluate([IMAGE], ["a"]), learner.report):
        refused(learner, state, DataError, "nothing is learned yet; call `learn` first", act)


def test_questions_while_the_first_samples_wait(artifact: Artifact, state: Path) -> None:
    """They have a name, but samples are normalised by those of the first task: answers would be nan."""
    with story.opened(artifact, state) as learner:
        learner.observe(IMAGE, "a", steps=0)
        check_answers_nothing(learner, state)
    with story.opened(artifact, state) as learner:
        check_answers_nothing(learner, state)
        learner.learn(steps=1)
        assert learner.predict([IMAGE]).names == ("a",)


INSIDE: dict[str, Callable[[Any], object]] = {
    "learn": lambda one: one.learn(),
    "a task": lambda one: one.learn([IMAGE], ["a"]),
    "observe": lambda one: one.observe(IMAGE, "a"),
    "end": lambda one: one.end_task(),
    "close": lambda one: one.close(),
}


@pytest.mark.parametrize("name", INSIDE)
def test_a_call_in_the_middle_of_one_that_learns(name: str, learner: Learner, artifact: Artifact, state: Path) -> None:
    """From a progress function it would take the task, or the lock, from under the call around it."""

    def progress(_: object) -> None:
        message = "another call is learning; wait for its end, or return False from its progress function"
        refused(learner, state, DataError, message, lambda: INSIDE[name](learner))

    before = learner.tasks
    assert learner.learn(*digits(artifact, 4), epochs=1, progress=progress).reason == "done"
    assert (learner.tasks, learner.under_way, learner.waiting) == (before + 1, False, 0)
    assert learner.learn(*digits(artifact, 5), epochs=1).reason == "done"


def test_what_may_be_called_in_the_middle_of_one_that_learns(learner: Learner, artifact: Artifact) -> None:
    def progress(_: object) -> None:
        learner.observe(IMAGE, "a", steps=0)
        learner.save()
        assert learner.evaluate([IMAGE], ["a"]).samples == learner.predict([IMAGE]).probabilities.shape[0]

    learned = learner.learn(*digits(artifact, 4), epochs=1, steps=2, progress=progress)
    assert (learned.reason, learner.under_way, learner.waiting) == ("steps", True, 2)


def test_a_learner_stays_where_it_is_when_the_app_changes_its_folder(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with Learner.open(os.path.relpath(artifact.folder), "state", threads=1) as learner:
        monkeypatch.chdir(tmp_path / "elsewhere")
        learner.observe(IMAGE, "a", steps=0)
        learner.learn(steps=1)
        assert learner.predict([IMAGE]).names == ("a",)
    assert os.listdir(tmp_path / "elsewhere") == []
    assert STATE in os.listdir(tmp_path / "state")


OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "seed": ({"seed": -1}, "`seed` -1"),
    "buffer": ({"buffer": 0}, "`buffer_size` 0: give at least 1"),
    "batch": ({"batch": 0}, "`batch_size` 0: give at least 1"),
    "learning_rate": ({"learning_rate": 0.0}, "`learning_rate` 0.0"),
    "threads": ({"threads": 0}, "`threads` 0"),
    "augment": ({"augment": "jitter_shift_scale"}, "does not suit samples of layout NCHW; give auto, none or crop_"),
    "a seed as a text": ({"seed": "4"}, "`seed` 4: give a whole number"),
    "half a thread": ({"threads": 1.5}, "`threads` 1.5: give a whole number"),
    "a rate as a text": ({"learning_rate": "0.1"}, "`learning_rate` 0.1: give a number above 0"),
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
    with pytest.raises(CheckpointError, match=r"samples-\w+.safetensors: is missing; restore it from a copy, or name "):
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


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", [1]), ("seed", -1), ("buffer_size", 0), ("buffer_size", "40"), ("augment", None), ("normalise", "white")],
)
def test_options_of_a_state_that_no_learner_writes(
    name: str, value: object, artifact: Artifact, learned: Path, state: Path
) -> None:
    shutil.copytree(learned, state)
    found = checkpoint.read(state)
    checkpoint.save(state, found.arrays, found.progress, {**found.identity, name: value}, again=False)
    with pytest.raises(CheckpointError, match=rf"state.safetensors: is damaged \(.*{name}.*\); restore it from a copy"):
        Learner.open(artifact, state, threads=1)


def test_a_rate_that_steps_with_a_limit_do_not_depend_on(tmp_path: Path, state: Path) -> None:
    artifact = story.compiled(tmp_path)
    with pytest.raises(FieldError, match=r"^`learning_rate` 1e\+30: steps have a limit, 0\.2, .*at most 16777216$"):
        story.opened(artifact, state, learning_rate=1e30)
    assert not state.exists()


def test_a_loss_that_is_no_number(tmp_path: Path, state: Path) -> None:
    artifact = story.compiled(tmp_path, step_limit=0.0)
    images, names = digits(artifact, 0, 1)
    with story.opened(artifact, state) as learner:
        learner.learn(images, names, epochs=EPOCHS)
        answers = learner.predict(images, task=0)
    with story.opened(artifact, state, learning_rate=1e30) as learner:
        with pytest.raises(TrainingError, match=r"lower `learning_rate` \(now 1e\+30\)"):
            learner.learn(*digits(artifact, 4, 5), epochs=EPOCHS)
        assert (learner.tasks, learner.under_way) == (1, True)
        learner.end_task()
        np.testing.assert_array_equal(learner.predict(images, task=0).probabilities, answers.probabilities)


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
    check_refused(outcome, "is the state of a learner; go on with `Learner.open`, or name another folder")


def test_a_closed_learner_gives_its_folder_back_and_takes_no_calls(artifact: Artifact, state: Path) -> None:
    first = story.opened(artifact, state)
    first.close()
    first.close()
    with story.opened(load(artifact.folder), state) as learner:
        before = contents(state)
        for act in (lambda: first.learn(*digits(artifact, 0, 1)), lambda: first.observe(IMAGE, "a"), first.save):
            with pytest.raises(DataError, match=r"this learner is closed; open it again with `Learner\.open`"):
                act()
        with pytest.raises(DataError, match="this learner is closed"):
            _ = first.classes
        assert contents(state) == before
        assert learner.tasks == 0
