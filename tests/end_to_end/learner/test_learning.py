"""What a learner learns: tasks by names, answers, samples in every form, the same as a run, and its export."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

import sparcl_compile
from sparcl_compile import CompileOptions, RunConfig, compile_model, learn
from sparcl_compile.api.learner import Learner as WithExport
from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.learner.learner import Learner
from tests.end_to_end.learner.content import EPOCHS, check_same, content, digits
from tests.support import story
from tests.support.cli import call, write_model


@pytest.mark.parametrize(("epochs", "rate"), [(5, 0.15), (6, 0.1)])
def test_a_task_has_the_rate_of_its_epochs_and_the_batch_of_its_samples(
    epochs: int, rate: float, tmp_path: Path, state: Path
) -> None:
    dense = CompileOptions(sparsity=0.0, gradient_sparsity=0.0, data_removal=0.0)
    artifact = compile_model(write_model(tmp_path, "conv_head"), dense)
    images = np.random.default_rng(0).integers(0, 256, (400, 3, 8, 8)).astype(np.uint8)
    with story.opened(artifact, state) as learner:
        learner.learn(images, ["one", "two"] * 200, epochs=epochs, steps=1)
    progress = content(state)[1]
    assert progress["learning_rates"] == [{"after_epochs": 0, "learning_rate": rate}]
    # 100 steps of 16 are in 5 epochs, and 100 of 32 are not in 6.
    assert progress["counters"]["samples_seen"] == 16


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
        before = content(tmp_path / "run")[1]["counters"]["samples_seen"]
        learner.learn(*digits(artifact, 4), epochs=80, steps=1)
    # 24 samples are enough for 100 steps of 16 in 80 epochs; a third of them, by the run's tasks, would not be.
    assert content(tmp_path / "run")[1]["counters"]["samples_seen"] - before == 16


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
