"""The Python interface: what the README promises, and that the commands are the same calls."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

import sparcl_compile
from sparcl_compile import CompileOptions, RunConfig, compile_model, export_model, learn, load, predict
from sparcl_compile.interface import program as ops
from sparcl_compile.interface.answers import Answers
from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import (
    CheckpointError,
    DataError,
    FieldError,
    ModelError,
    OptionError,
    TrainingError,
)
from sparcl_compile.runtime.runs.run import Run
from tests.reference.hashing import class_order
from tests.support.cli import done, read_json, write_data, write_model
from tests.support.zoo import ZOO

OPTIONS = CompileOptions(sparsity=0.5)


def config(folder: Path, **changed: object) -> RunConfig:
    options = {"tasks": 2, "epochs": 2, "batch_size": 8, "buffer_size": 10, "threads": 1, **changed}
    return RunConfig(data=write_data(folder), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def artifact(folder: Path) -> Artifact:
    return compile_model(write_model(folder), OPTIONS)


@pytest.fixture(scope="module")
def result(artifact: Artifact, folder: Path) -> dict[str, object]:
    return learn(artifact, config(folder))


def samples(folder: Path) -> np.ndarray:
    with np.load(write_data(folder).removeprefix("npz:")) as arrays:
        return np.asarray(arrays["x_test"] if "x_test" in arrays else arrays["x"])


def test_the_artifact_lies_beside_the_model_and_loads_again(artifact: Artifact, folder: Path) -> None:
    assert artifact.folder.parent == folder
    assert load(artifact.folder) == load(str(artifact.folder))
    assert load(artifact.folder).identity == artifact.identity


def test_a_trial_on_held_out_samples_has_the_batch_size_of_the_run_that_it_chooses_for(
    artifact: Artifact, folder: Path, tmp_path: Path
) -> None:
    whole = config(folder, batch_size=None, epochs=27)
    trial = dataclasses.replace(whole, data=f"held-out:{whole.data}")
    runs = [Run(artifact, one, tmp_path / "run") for one in (whole, trial)]
    assert [run.trainer["batch"] for run in runs] == [16, 16]
    fewer = [len(run.dataset.x_train) for run in runs]
    assert [whole.completed(samples, 0.1)[1] for samples in fewer] == [16, 8]


@pytest.mark.parametrize("seed", [None, 0, 5])
def test_the_classes_come_in_the_order_of_a_seed_of_their_own(
    seed: int | None, artifact: Artifact, folder: Path, tmp_path: Path
) -> None:
    run = Run(artifact, config(folder, seed=3, class_order_seed=seed), tmp_path / "run")
    classes = len(run.dataset.classes)
    dealt = [label for task in run.tasks for label in task.classes]
    assert dealt == (list(range(classes)) if seed is None else class_order(classes, seed))


@pytest.mark.parametrize(
    ("name", "options", "few", "many"),
    [
        ("conv_head", {}, 0.15, 0.1),
        ("conv_head", {"momentum": 0.5}, 0.075, 0.05),
        ("conv_head", {"optimizer": "adamw"}, 0.001, 0.001),
        ("cnn_bn", {}, 0.5, 0.5),
        ("cnn_bn", {"momentum": 0.9}, 0.05, 0.05),
    ],
)
def test_a_run_begins_with_the_rate_of_its_network_and_its_epochs_a_task(
    name: str, options: dict[str, object], few: float, many: float, tmp_path: Path
) -> None:
    """As docs/algorithm.md says under Learning rates."""
    dense = CompileOptions(sparsity=0.0, gradient_sparsity=0.0, **options)  # type: ignore[arg-type]
    artifact = compile_model(write_model(tmp_path, name), dense)
    runs = [Run(artifact, config(tmp_path, epochs=epochs), tmp_path / "run") for epochs in (3, 5, 6, 50)]
    assert [run.trainer.number("learning_rate") for run in runs] == pytest.approx([few, few, many, many])


def test_learning_gives_what_the_command_writes(artifact: Artifact, result: dict[str, object], folder: Path) -> None:
    options = ("--tasks", 2, "--epochs", 2, "--batch-size", 8, "--buffer", 10, "--threads", 1)
    file, place = folder / "result.json", folder / "other.run"
    done("run", artifact.folder, "--data", write_data(folder), *options, "--checkpoint", place, "--json", file)
    clocked = ("samples_per_second", "training_seconds")
    written = {key: value for key, value in read_json(file).items() if key not in clocked}
    assert {key: value for key, value in result.items() if key not in clocked} == written


def test_a_finished_run_resumes_to_the_same_result(artifact: Artifact, result: dict[str, object], folder: Path) -> None:
    again = learn(artifact, config(folder), resume=True)
    assert again["accuracy_matrix"] == result["accuracy_matrix"]
    assert again["learning_rates"] == result["learning_rates"]


def test_the_exported_model_predicts_the_same(artifact: Artifact, result: dict[str, object], folder: Path) -> None:
    facts = export_model(artifact, folder / "learned.onnx")
    assert facts["tasks_learned"] == 2
    proto = onnx.load(folder / "learned.onnx")
    x = samples(folder)
    (wanted,) = ReferenceEvaluator(proto).run(None, {"x": normalised(x, proto)})
    np.testing.assert_allclose(predict(artifact, x), wanted, rtol=1e-4, atol=1e-4)


def normalised(x: np.ndarray, proto: onnx.ModelProto) -> np.ndarray:
    """Samples as the metadata of an exported model say that it takes them."""
    notes = {one.key: one.value for one in proto.metadata_props}
    scale, mean, std = (np.array(eval(notes[f"normalise.{key}"])) for key in ("scale", "mean", "std"))
    return ((x / scale - mean.reshape(1, -1, 1, 1)) / std.reshape(1, -1, 1, 1)).astype(np.float32)


def test_predictions_follow_the_program_whatever_it_feeds(
    artifact: Artifact, result: dict[str, object], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = predict(artifact, samples(folder))
    export_model(artifact, folder / "learned.onnx")
    ready = normalised(samples(folder), onnx.load(folder / "learned.onnx"))
    # A program whose evaluation takes samples as they are, five at a time.
    alone = Answers("given", 5, (ops.Run("eval", feeds={"x": "given.raw"}, give="given"),))
    monkeypatch.setattr("sparcl_compile.api.learning.answering", lambda _: alone)
    np.testing.assert_allclose(predict(artifact, ready), wanted, rtol=1e-4, atol=1e-4)


def test_more_samples_than_a_chunk_and_none(artifact: Artifact, result: dict[str, object], folder: Path) -> None:
    x = np.resize(samples(folder), (600, *samples(folder).shape[1:]))
    logits = predict(artifact, x)
    assert logits.shape == (600, artifact.manifest.model.classes)
    np.testing.assert_allclose(logits[512:], predict(artifact, x[512:]), rtol=1e-5, atol=1e-6)
    assert predict(artifact, x[:0]).shape == (0, artifact.manifest.model.classes)


def test_samples_of_another_form_are_refused(artifact: Artifact, result: dict[str, object], folder: Path) -> None:
    x = samples(folder)
    for wrong in (x[0, 0], x.astype(str), np.concatenate([x, x], axis=1)):
        with pytest.raises(DataError, match=r"samples"):
            predict(artifact, wrong)


def test_samples_are_given_as_the_data_have_them(artifact: Artifact, result: dict[str, object], folder: Path) -> None:
    x = samples(folder)
    wanted = predict(artifact, x)
    for same in (np.moveaxis(x, 1, -1), x.astype(np.float64), x.astype(np.float32)):
        np.testing.assert_allclose(predict(artifact, same), wanted, rtol=1e-5, atol=1e-5)


def test_vectors_are_given_as_a_table_has_them(tmp_path: Path) -> None:
    onnx.save(ZOO["mlp"](), tmp_path / "mlp.onnx")
    made = compile_model(tmp_path / "mlp.onnx")
    x = np.random.default_rng(0).normal(size=(40, 12))
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(40) % 4)
    learn(made, RunConfig(data=f"npz:{tmp_path / 'data.npz'}", tasks=2, epochs=1, threads=1))
    np.testing.assert_array_equal(predict(made, x), predict(made, x[..., np.newaxis, np.newaxis]))
    with pytest.raises(DataError, match=r"the samples are float32 \[40, 7, 1, 1\]; give \[N, 12\] or \[N, 12, height"):
        predict(made, x[:, :7])


def test_without_a_run_nothing_is_predicted_or_exported(artifact: Artifact, tmp_path: Path) -> None:
    x = np.zeros((1, 1, 8, 8), np.uint8)
    with pytest.raises(CheckpointError, match="holds no run; run sparcl-run"):
        predict(artifact, x, tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="holds no run; run sparcl-run"):
        export_model(artifact, tmp_path / "a.onnx", tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())


def test_a_run_of_another_artifact_is_refused(
    artifact: Artifact, result: dict[str, object], folder: Path, tmp_path: Path
) -> None:
    other = compile_model(write_model(tmp_path), CompileOptions(sparsity=0.25))
    with pytest.raises(CheckpointError, match="is a run of another artifact"):
        predict(other, np.zeros((1, 1, 8, 8), np.uint8), artifact.folder.with_suffix(".run"))


def test_mistakes_are_the_commands_errors(artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not an ONNX model"):
        compile_model(Path(__file__), output=tmp_path / "a.sparcl")
    with pytest.raises(OptionError, match="sparsity"):
        CompileOptions(sparsity=1.5)
    with pytest.raises(OptionError, match="is a compiled artifact or inside of one"):
        learn(artifact, config(tmp_path), artifact.folder / "run")


PLACES = {
    "link": "is a link to nowhere; remove it or name another folder",
    "file": "is a file; name a folder for the artifact",
    "full": "is a folder that holds something else; name a new one",
}


@pytest.mark.parametrize("name", PLACES)
def test_a_place_that_cannot_be_is_told_by_its_argument(name: str, tmp_path: Path) -> None:
    model = write_model(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    with pytest.raises(FieldError) as refused:
        compile_model(model, output=tmp_path / name)
    assert str(refused.value) == f"`output` {tmp_path / name}: {PLACES[name]}"


def test_mistakes_of_other_arguments_name_them(artifact: Artifact, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FieldError, match=r"^`output` .*x\.txt: name a file that ends in \.onnx$"):
        export_model(artifact, tmp_path / "x.txt")
    with pytest.raises(FieldError, match=r"^`initial`: contradicts `checkpoint` .*; give one of them$"):
        export_model(artifact, tmp_path / "x.onnx", tmp_path / "run", initial=True)
    with pytest.raises(FieldError, match=r"^`tasks` 99: .* give a number from 1 to "):
        learn(artifact, dataclasses.replace(config(folder), tasks=99), tmp_path / "run")


def test_a_run_that_diverges_names_the_arguments_to_change(tmp_path: Path) -> None:
    artifact = compile_model(write_model(tmp_path), dataclasses.replace(OPTIONS, step_limit=0.0))
    message = r"lower `learning_rate` \(now 1e\+20\); no epoch was finished, so start again without `resume`$"
    with pytest.raises(TrainingError, match=message):
        learn(artifact, config(tmp_path, learning_rate=1e20), tmp_path / "run")


def test_the_public_names_are_those_of_the_package() -> None:
    for name in sparcl_compile.__all__:
        assert getattr(sparcl_compile, name) is not None
    assert dir(sparcl_compile) == sorted(sparcl_compile.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'train'"):
        sparcl_compile.train  # noqa: B018 - the attribute is asked for


def test_the_names_are_loaded_when_they_are_used() -> None:
    code = "import sys, sparcl_compile; print('onnx_ir' in sys.modules); sparcl_compile.compile_model; "
    code += "print('onnx_ir' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]
