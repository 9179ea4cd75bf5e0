"""Methods whose runs answer otherwise than the network: predict and Learner give their answers, the rest says so."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from sparcl_compile import Learner, load, predict
from sparcl_compile.interface.answers import DIFFERENT
from sparcl_compile.interface.errors import ArtifactError, FieldError
from tests.end_to_end.test_methods_commands import sparsity_of
from tests.support.cli import CLASSES, Outcome, arrays, done, read_json, write_data, write_model

RUN = ("--tasks", "5", "--epochs", "4", "--batch-size", "4", "--buffer", "20", "--threads", "1", "--lr", "0.05")
NOTES = {"icarl": DIFFERENT["nearest_mean"], "packnet": DIFFERENT["eval_of"], "er": ""}
FIVE = tuple(range(CLASSES))


class Learned:
    """A run of a method, of one class a task, through the commands."""

    def __init__(self, method: str, folder: Path) -> None:
        self.method, self.artifact, self.folder = method, folder / "a.sparcl", folder
        model, given = write_model(folder), ("--method", method, *sparsity_of(method), "--data-removal", "0")
        done("compile", model, *given, "-o", self.artifact)
        self.outcome = self.run(*RUN)
        self.result = read_json(folder / "result.json")

    def run(self, *options: str) -> Outcome:
        given = ("--data", write_data(self.folder), "--json", self.folder / "result.json", *options)
        return done("run", self.artifact, *given)

    def accuracies(self, scores: np.ndarray) -> list[float]:
        """Percent of each task's test samples, as the run's last row has them."""
        y = arrays()["y_test"]
        return [float(100 * (scores.argmax(1) == y)[y == label].mean()) for label in FIVE]


@pytest.fixture(scope="module", params=NOTES)
def learned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Learned:
    return Learned(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return arrays()["x_test"]


def test_predict_answers_as_the_run_did(learned: Learned, x: np.ndarray) -> None:
    artifact, y = load(learned.artifact), arrays()["y_test"]
    if learned.method != "packnet":
        scores = predict(artifact, x, threads=1)
    else:
        scores = np.zeros((len(y), CLASSES), np.float32)
        for task in FIVE:
            scores[y == task] = predict(artifact, x[y == task], threads=1, task=task)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(learned.accuracies(scores), learned.result["accuracy_matrix"][-1], atol=1e-3)


def test_the_network_alone_answers_otherwise(learned: Learned, x: np.ndarray) -> None:
    """The exported one; under ER it is what the run answers by."""
    scores, logits = predict(load(learned.artifact), x, threads=1), exported(learned, x)
    same = np.abs(scores - logits).max() <= 1e-4 * np.abs(logits).max()
    assert same == (learned.method != "icarl")
    if learned.method == "packnet":
        last = predict(load(learned.artifact), x, threads=1, task=CLASSES - 1)
        np.testing.assert_array_equal(scores, last)
        assert (predict(load(learned.artifact), x, threads=1, task=0) != last).any()


def exported(learned: Learned, x: np.ndarray) -> np.ndarray:
    """The logits of the exported network, for samples that are normalised as its metadata say."""
    done("export", learned.artifact, "-o", learned.folder / "learned.onnx")
    model = onnx.load(learned.folder / "learned.onnx")
    notes = {one.key: one.value for one in model.metadata_props}
    scale, mean, std = (np.array(json.loads(notes[f"normalise.{key}"])) for key in ("scale", "mean", "std"))
    ready = ((x / scale - mean.reshape(-1, 1, 1)) / std.reshape(-1, 1, 1)).astype(np.float32)
    found: np.ndarray = ReferenceEvaluator(model).run(None, {"x": ready})[0]
    return found


def test_a_learner_answers_as_the_run_did(learned: Learned, x: np.ndarray) -> None:
    if learned.method == "packnet":
        with pytest.raises(ArtifactError, match="is for whole runs by sparcl-run, not for a learner"):
            Learner.open(learned.artifact, learned.folder / "a.run")
        return
    with Learner.open(learned.artifact, learned.folder / "a.run", threads=1) as learner:
        accuracy = learner.evaluate(x, [str(label) for label in arrays()["y_test"]]).accuracy
    assert accuracy == pytest.approx(learned.result["class_il"], abs=1e-3)


def test_the_end_of_a_run_says_it(learned: Learned) -> None:
    note = NOTES[learned.method]
    lines = [line for line in learned.outcome.out.splitlines() if line.startswith("note: the accuracies")]
    assert lines == ([f"note: {note}"] if note else [])
    quiet = learned.run(*RUN, "--resume", "-q")
    assert "note: " not in quiet.out + quiet.err


def test_an_export_says_it(learned: Learned) -> None:
    note, file = NOTES[learned.method], learned.folder / "other.onnx"
    lines = done("export", learned.artifact, "-o", file).out.splitlines()
    assert [line for line in lines if line.startswith("note: ")] == ([f"note: {note}"] if note else [])
    assert json.loads(done("export", learned.artifact, "-o", file, "--json").out)["note"] == note
    assert done("export", learned.artifact, "-o", file, "-q").out == f"{file}\n"


def test_a_program_whose_tests_no_graph_answers_is_refused(
    learned: Learned, x: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparcl_compile.api.learning.answering", lambda _: None)
    with pytest.raises(ArtifactError, match=r"its program is damaged \(no graph gives the logits of its tests\)"):
        predict(load(learned.artifact), x, threads=1)


def test_a_task_without_a_network_of_its_own_is_refused(learned: Learned, x: np.ndarray) -> None:
    artifact = load(learned.artifact)
    if learned.method == "packnet":
        for task in (-1, CLASSES):
            with pytest.raises(FieldError, match=rf"^`task` {task}: 5 tasks are learned; give a number from 0 to 4$"):
                predict(artifact, x, task=task)
        return
    with pytest.raises(FieldError, match=r"^`task` 0: the artifact has one network for all tasks; leave it out$"):
        predict(artifact, x, task=0)
