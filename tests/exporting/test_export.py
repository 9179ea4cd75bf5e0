"""sparcl-export: the learned model as plain ONNX, which answers as the artifact does, or one line that says why not."""

import json
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from safetensors import safe_open
from safetensors.numpy import load_file
from torch import nn

from sparcl_compile.exporting import export
from sparcl_compile.exporting.export import notes_of
from sparcl_compile.interface.artifact import load
from sparcl_compile.interface.errors import CheckpointError, ModelError
from sparcl_compile.runtime import checkpoint
from sparcl_compile.runtime.data import load as load_data
from tests.end_to_end.test_bad_input import largest_file
from tests.interface.test_hostile_artifact import seal
from tests.support.cli import (
    SMALL_RUN,
    call,
    check_refused,
    contents,
    done,
    read_json,
    spawn,
    write_artifact,
    write_data,
)

DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits_cnn.onnx"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds ``cnn_bn.onnx``, ``cnn_bn.sparcl`` and its run, ``cnn_bn.run``."""
    made = tmp_path_factory.mktemp("export")
    write_artifact(made)
    done("run", made / "cnn_bn.sparcl", "--data", write_data(made), *SMALL_RUN)
    return made


@pytest.fixture
def artifact(folder: Path, tmp_path: Path) -> Path:
    """A copy of the artifact, with its run beside it, that a test may damage."""
    for name in ("cnn_bn.sparcl", "cnn_bn.run", "cnn_bn.onnx"):
        source = folder / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    return tmp_path / "cnn_bn.sparcl"


def ops(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def metadata(path: Path) -> dict[str, str]:
    return {one.key: one.value for one in onnx.load(path).metadata_props}


# What comes out


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short tasks of digits, their result and the exported model."""
    made = tmp_path_factory.mktemp("digits")
    done("compile", DIGITS, "-o", made / "digits.sparcl", "--sparsity", "0.8")
    args = ("--data", "digits", "--tasks", "2", "--epochs", "2", "--threads", "1", "--class-order-seed", "3")
    done("run", made / "digits.sparcl", *args, "--json", made / "result.json")
    done("export", made / "digits.sparcl", "-o", made / "digits.onnx", "--ort-format")
    return made


def prepared(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The test data, normalised as the model's metadata say, and the labels."""
    notes = metadata(path)
    data = load_data("digits")
    mean, std = (np.array(json.loads(notes[f"normalise.{key}"])).reshape(1, -1, 1, 1) for key in ("mean", "std"))
    x = (data.x_test / json.loads(notes["normalise.scale"]) - mean) / std
    return x.astype(np.float32), data.y_test


def class_il(logits: np.ndarray, labels: np.ndarray, tasks: list[list[int]]) -> float:
    """The mean over the tasks of the accuracy in percent, as the metric of the run is defined."""
    right = logits.argmax(axis=1) == labels
    return float(np.mean([100 * right[np.isin(labels, task)].mean() for task in tasks]))


def test_the_model_answers_as_the_run_said(digits: Path) -> None:
    path = digits / "digits.onnx"
    x, labels = prepared(path)
    result = read_json(digits / "result.json")
    tasks = json.loads(metadata(path)["classes_by_task"])
    assert tasks == result["classes_by_task"] != [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    logits = ort.InferenceSession(path).run(["logits"], {"x": x})[0]
    assert class_il(logits, labels, tasks) == pytest.approx(result["class_il"], abs=1e-9)
    again = ReferenceEvaluator(str(path)).run(["logits"], {"x": x})[0]
    assert class_il(again, labels, tasks) == pytest.approx(result["class_il"], abs=1e-9)
    mobile = ort.InferenceSession((digits / "digits.ort").read_bytes()).run(["logits"], {"x": x})[0]
    np.testing.assert_allclose(mobile, logits, rtol=1e-4, atol=1e-4)


def test_the_file_is_plain(digits: Path) -> None:
    model = onnx.load(digits / "digits.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert ops(digits / "digits.onnx") == Counter(
        {"Conv": 3, "Relu": 3, "GlobalAveragePool": 1, "Flatten": 1, "Gemm": 1}
    )
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
    assert model.ir_version == 10
    assert (model.producer_name, model.producer_version) == ("sparcl-compile", "0.2.0")
    assert model.doc_string.startswith("digits_cnn as learned")
    assert b"sparcl." not in model.SerializeToString()
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["x", "logits"]
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "N"
    assert set(metadata(digits / "digits.onnx")) == {
        "input.layout", "normalise.formula", "normalise.scale", "normalise.mean", "normalise.std", "classes",
        "classes_by_task", "constants",
    }  # fmt: skip


def test_a_token_stays_the_token_under_the_formula() -> None:
    """A run keeps the deviation in units of 255 as float32, from which 1 comes back as 1.00000006."""
    raw = {"scale": 1.0, "mean": [0.0], "std": [float(np.float32(1 / 255)) * 255]}
    notes = notes_of({"normalise": raw, "classes": ["a"], "classes_by_task": [[0]]}, "flat")
    scale, mean, std = (np.array(json.loads(notes[f"normalise.{name}"])) for name in ("scale", "mean", "std"))
    tokens = np.arange(400)
    np.testing.assert_array_equal(((tokens / scale - mean) / std).astype(np.int64), tokens)


def test_weights_are_the_masked_ones(folder: Path, tmp_path: Path) -> None:
    done("export", folder / "cnn_bn.sparcl", "-o", tmp_path / "a.onnx")
    (weight,) = (t for t in onnx.load(tmp_path / "a.onnx").graph.initializer if t.name == "body.weight")
    mask = load_file(folder / "cnn_bn.run" / "state.safetensors")["body.weight.mask"]
    exported = onnx.numpy_helper.to_array(weight)
    assert exported.shape == mask.shape
    assert not exported[mask == 0].any()
    assert exported[mask == 1].any()


def test_the_same_input_gives_the_same_bytes(digits: Path, tmp_path: Path) -> None:
    done("export", digits / "digits.sparcl", "-o", tmp_path / "digits.onnx", "--ort-format")
    for name in ("digits.onnx", "digits.required_operators.config"):
        assert (tmp_path / name).read_bytes() == (digits / name).read_bytes()
    # ONNX Runtime orders the tables of its format by memory addresses, which differ from process to process.
    assert (tmp_path / "digits.ort").stat().st_size == (digits / "digits.ort").stat().st_size


def test_the_config_of_a_minimal_build(digits: Path) -> None:
    lines = (digits / "digits.required_operators.config").read_text().splitlines()
    assert lines[:2] == ["# Generated from model/s:", "# - digits.ort"]
    assert "ai.onnx;13;Flatten,Gemm" in lines


def test_a_fixed_batch(folder: Path, tmp_path: Path) -> None:
    done("export", folder / "cnn_bn.sparcl", "-o", tmp_path / "a.onnx", "--batch", "3")
    session = ort.InferenceSession(tmp_path / "a.onnx")
    assert [value.shape[0] for value in (*session.get_inputs(), *session.get_outputs())] == [3, 3]
    assert session.run(None, {"x": np.zeros((3, 3, 8, 8), np.float32)})[0].shape == (3, 5)


def test_the_initial_state(folder: Path, tmp_path: Path) -> None:
    """Without training the export answers as the given model does at the weights that the mask keeps: all of them."""
    done("compile", folder / "cnn_bn.onnx", "--sparsity", "0", "-o", tmp_path / "a.sparcl")
    done("export", tmp_path / "a.sparcl", "--initial")
    x = np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)
    found = ort.InferenceSession(tmp_path / "a.learned.onnx").run(None, {"x": x})[0]
    expected = ReferenceEvaluator(str(folder / "cnn_bn.onnx")).run(None, {"image": x})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert set(metadata(tmp_path / "a.learned.onnx")) == {"input.layout", "constants"}


class Gated(nn.Module):
    """Parameters that other files could not tell from constants: a gate, learned places, a learned floor."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(64, 12), nn.Linear(12, 10)
        self.gate, self.place = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.rand(64) / 9)
        self.low = nn.Parameter(torch.rand(12) - 2)
        self.register_buffer("mix", torch.rand(12, 12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(self.body(x.flatten(1) + self.place))
        return self.head(torch.maximum(y + self.gate * (y @ self.mix), self.low))


def test_an_export_compiled_again_trains_what_the_model_trained(tmp_path: Path) -> None:
    options = {"dynamic_shapes": ({0: torch.export.Dim("N")},), "verbose": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Gated().eval(), (torch.rand(2, 1, 8, 8),), tmp_path / "a.onnx", dynamo=True, **options)
    line = "Training 987 of 987 parameters"
    assert line in done("compile", tmp_path / "a.onnx", "-o", tmp_path / "a.sparcl").out
    done("export", tmp_path / "a.sparcl", "--initial", "-o", tmp_path / "b.onnx")
    assert line in done("compile", tmp_path / "b.onnx", "-o", tmp_path / "b.sparcl").out


ZEROED = {
    "channels of one layer": ({"body.weight": [1, 4]}, {"stem.weight": (4, 3), "body.weight": (8, 4)}),
    "the classifier's": ({"fc.weight": [0, 3, 7]}, {"body.weight": (5, 6), "fc.weight": (5, 5)}),
    "all but one stay": ({"body.weight": list(range(6))}, {"stem.weight": (1, 3), "body.weight": (8, 1)}),
}
"""Columns that are zero, as padding of folded channels or an unstructured mask leaves them, and first two axes then."""


@pytest.mark.parametrize("case", ZEROED)
def test_idle_channels_are_gone(case: str, artifact: Path) -> None:
    columns, shapes = ZEROED[case]

    def change(arrays: dict[str, np.ndarray]) -> None:
        for name, indices in columns.items():
            arrays[name][:, indices] = 0

    change_state(artifact, change)
    facts = json.loads(done("export", artifact, "--json").out)
    model = onnx.load(artifact.with_name("cnn_bn.learned.onnx"))
    found = {t.name: tuple(t.dims)[:2] for t in model.graph.initializer}
    assert {name: found[name] for name in shapes} == shapes
    lost = sum(min(len(indices), 5) for indices in columns.values())
    assert sum(facts["removed_channels"].values()) == lost
    assert facts["after"]["macs_per_sample"] < facts["before"]["macs_per_sample"]
    x = np.random.default_rng(7).normal(size=(6, 3, 8, 8)).astype(np.float32)
    state = checkpoint.read(artifact.with_name("cnn_bn.run")).arrays
    graph = ort.InferenceSession(artifact / "eval" / "eval_model.onnx")
    feeds = {value.name: state.get(value.name, x) for value in graph.get_inputs()}
    expected = graph.run(["logits"], feeds)[0]
    found_logits = ReferenceEvaluator(model).run(["logits"], {"x": x})[0]
    np.testing.assert_allclose(found_logits, expected, atol=1e-5 * np.abs(expected).max())


def test_a_residual_network_loses_whole_channels(tmp_path: Path) -> None:
    """Channel 1 of the block's first convolution has no readers; both readers of the stem's channel 2 are zero."""
    artifact = write_artifact(tmp_path, name="resnet")
    state = load_file(artifact / "state.safetensors")
    state["block.conv2.weight"][:, 1] = 0
    for reader in ("block.conv1.weight", "block.shortcut.weight"):
        state[reader][:, 2] = 0
    exported = export.export_model(load(artifact), state, {})
    shapes = {t.name: list(t.dims) for t in onnx.load_from_string(exported.content).graph.initializer}
    assert shapes["stem.weight"][:2] == [3, 3]
    assert shapes["block.conv1.weight"][:2] == [7, 3]
    assert shapes["block.conv2.weight"][:2] == [8, 7]
    assert sum(exported.removed.values()) == 2
    assert exported.check["deviation"] < 1e-5


FAMILIES = (
    "mlp_matmul", "mobilenet", "channels_last", "preprocessing", "squeeze_excite_symbolic", "densenet_fixed",
    "token_transformer_symbolic",
)  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_families_of_models(name: str, tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path, name=name)
    facts = json.loads(done("export", artifact, "--initial", "--json").out)
    model = onnx.load(facts["file"])
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    assert not [node for node in model.graph.node if node.op_type in ("Identity", "Dropout")]
    ort.InferenceSession(facts["file"])


def test_json_facts(folder: Path, tmp_path: Path) -> None:
    outcome = done("export", folder / "cnn_bn.sparcl", "-o", tmp_path / "a.onnx", "--json")
    facts = json.loads(outcome.out)
    assert facts["files"] == {str(tmp_path / "a.onnx"): (tmp_path / "a.onnx").stat().st_size}
    assert [trace["name"] for trace in facts["passes"]] == [
        "freeze_state",
        "restore_input",
        "remove_idle_channels",
        "fuse_normalisation",
    ]
    assert facts["after"]["nodes"] == len(onnx.load(tmp_path / "a.onnx").graph.node)
    assert facts["before"]["nodes"] - facts["after"]["nodes"] == 3  # a mask and two normalisations
    stored = sum(int(np.prod(t.dims)) for t in onnx.load(tmp_path / "a.onnx").graph.initializer if t.data_type == 1)
    assert facts["after"]["parameters"] == stored
    assert 0 < facts["after"]["macs_per_sample"] <= facts["before"]["macs_per_sample"]
    assert facts["check"]["deviation"] <= facts["check"]["tolerance"] == 1e-4
    assert facts["tasks_learned"] == 2
    assert facts["samples"]["classes_by_task"] == [[0, 1, 2], [3, 4]]


def test_what_is_printed(folder: Path, tmp_path: Path) -> None:
    outcome = spawn("export", folder / "cnn_bn.sparcl", "-o", "my model.onnx", "--ort-format", cwd=tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    for part in (
        "fuse_normalisation",
        "macs per sample",
        "removed channels",
        "(x / 255 - mean) / std",
        "of the largest",
    ):
        assert part in outcome.out, part
    lines = outcome.out.rstrip().splitlines()
    assert lines[-4].startswith("Written to my model.onnx (")
    assert lines[-1] == "Next: sparcl-inspect 'my model.onnx'"
    assert sorted(os.listdir(tmp_path)) == ["my model.onnx", "my model.ort", "my model.required_operators.config"]
    done("inspect", tmp_path / "my model.onnx")


def test_it_needs_no_training_build(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime.training", None)
    done("export", folder / "cnn_bn.sparcl", "-o", tmp_path / "a.onnx")


def test_a_run_in_the_middle_of_a_task(folder: Path, artifact: Path) -> None:
    found = checkpoint.read(artifact.with_name("cnn_bn.run"))
    counters = {**found.progress["counters"], "task": 1, "epoch": 1}
    samples = found.progress.pop("samples")
    checkpoint.save(
        artifact.with_name("older.run"), found.arrays, {**found.progress, "counters": counters}, found.identity
    )
    outcome = done("export", artifact, "--checkpoint", artifact.with_name("older.run"))
    assert "1 tasks and 1 epochs of the next" in outcome.out
    assert "unknown: the run is of an older version" in outcome.out
    assert samples["normalise"]["scale"] == 255


@pytest.mark.parametrize(
    ("normalise", "expected"), [("unit", {"scale": 255.0, "mean": [0] * 3, "std": [1] * 3}), ("raw", None)]
)
def test_other_normalisations(normalise: str, expected: dict[str, Any] | None, folder: Path, tmp_path: Path) -> None:
    data = f"npz:{folder / 'data.npz'}"
    args = ("--epochs", "1", "--normalise", normalise, "--checkpoint", tmp_path / "run")
    done("run", folder / "cnn_bn.sparcl", "--data", data, *SMALL_RUN, *args, "--lr", "0.0001")
    with safe_open(tmp_path / "run" / "state.safetensors", "numpy") as file:
        found = json.loads(file.metadata()["progress"])["samples"]["normalise"]
    expected = expected or {"scale": 1.0, "mean": [0] * 3, "std": [1] * 3}
    assert found["scale"] == expected["scale"]
    np.testing.assert_allclose([found["mean"], found["std"]], [expected["mean"], expected["std"]], rtol=1e-6)


# What is refused


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def no_artifact(artifact: Path) -> None:
    shutil.rmtree(artifact)


def damaged_artifact(artifact: Path) -> None:
    flip(artifact / "eval" / "eval_model.onnx")


def no_run(artifact: Path) -> None:
    shutil.rmtree(artifact.with_name("cnn_bn.run"))


def damaged_checkpoint(artifact: Path) -> None:
    flip(artifact.with_name("cnn_bn.run") / "state.safetensors")


def truncated_checkpoint(artifact: Path) -> None:
    path = artifact.with_name("cnn_bn.run") / "state.safetensors"
    path.write_bytes(path.read_bytes()[:100])


def another_artifact(artifact: Path) -> None:
    done("compile", artifact.with_name("cnn_bn.onnx"), "-o", artifact, "--sparsity", "0.5")


def change_state(artifact: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    run = artifact.with_name("cnn_bn.run")
    found = checkpoint.read(run)
    change(found.arrays)
    checkpoint.save(run, found.arrays, found.progress, found.identity)


def infinite_state(artifact: Path) -> None:
    change_state(artifact, lambda arrays: arrays["fc.bias"].fill(np.inf))


def state_without_a_tensor(artifact: Path) -> None:
    change_state(artifact, lambda arrays: arrays.__delitem__("fc.bias"))


def target_is_a_folder(artifact: Path) -> None:
    artifact.with_name("cnn_bn.learned.onnx").mkdir()


REFUSED: tuple[tuple[Callable[[Path], None], tuple[str, ...]], ...] = (
    (no_artifact, ("cnn_bn.sparcl", "sparcl-compile")),
    (damaged_artifact, ("eval_model.onnx", "damaged", "compile the model again")),
    (no_run, ("cnn_bn.run", "sparcl-run", "--initial")),
    (damaged_checkpoint, ("state.safetensors", "damaged")),
    (truncated_checkpoint, ("state.safetensors", "damaged")),
    (another_artifact, ("cnn_bn.run", "another artifact", "--checkpoint")),
    (infinite_state, ("not finite",)),
    (state_without_a_tensor, ("fc.bias", "is missing", "start the run again")),
    (target_is_a_folder, ("cnn_bn.learned.onnx", "is a folder")),
)


@pytest.mark.parametrize(("damage", "parts"), REFUSED, ids=[damage.__name__ for damage, _ in REFUSED])
def test_refusals(damage: Callable[[Path], None], parts: tuple[str, ...], artifact: Path) -> None:
    damage(artifact)
    before = contents(artifact.parent)
    outcome = call("export", artifact, "--ort-format")
    check_refused(outcome, *parts)
    assert outcome.out == ""
    assert contents(artifact.parent) == before


def test_a_graph_that_does_not_take_the_manifest_s_samples(artifact: Path) -> None:
    manifest = read_json(artifact / "manifest.json")
    manifest["model"]["input_shape"] = [4, 8, 8]
    seal(artifact, manifest)
    check_refused(call("export", artifact, "--initial"), "eval_model.onnx", "ONNX Runtime cannot run it")


def test_a_damaged_graph_with_right_checksums(artifact: Path) -> None:
    path = artifact / "eval" / "eval_model.onnx"
    model = onnx.load(path)
    next(node for node in model.graph.node if node.op_type == "BatchNormalization").op_type = "Shape"
    path.write_bytes(model.SerializeToString())
    seal(artifact, read_json(artifact / "manifest.json"))
    check_refused(call("export", artifact, "--initial"), "eval_model.onnx: the graph is damaged", "make the file again")


def test_places_and_options(folder: Path, artifact: Path, tmp_path: Path) -> None:
    other = shutil.copytree(artifact, tmp_path / "other.sparcl")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link.onnx").symlink_to(tmp_path / "nowhere")
    (tmp_path / "taken.ort").mkdir()
    before = contents(tmp_path)
    for args, parts in (
        (("-o", artifact / "model.onnx"), ("-o", "inside")),
        (("-o", other / "eval" / "eval_model.onnx"), ("-o", "inside")),
        (("-o", artifact), ("-o", "is a folder")),
        (("-o", tmp_path / "file"), ("-o", "ends in .onnx")),
        (("-o", tmp_path / "file" / "a.onnx"), ("cannot be written",)),
        (("-o", tmp_path / "link.onnx"), ("-o", "link to nowhere")),
        (("-o", tmp_path / "cnn_bn.onnx"), ("-o", "compiled from")),
        (("-o", tmp_path / "taken.onnx", "--ort-format"), ("taken.ort", "is a folder")),
        (("--checkpoint", tmp_path / "absent"), ("absent", "sparcl-run", "--initial")),
        (("--checkpoint", tmp_path / "file"), ("--checkpoint",)),
        (("--initial", "--checkpoint", tmp_path), ("--initial", "--checkpoint")),
        (("--batch", "0"), ("--batch",)),
        (("--batch", "many"), ("--batch",)),
        (("--bogus",), ("--bogus",)),
    ):
        outcome = call("export", artifact, *args)
        check_refused(outcome, *parts)
        assert outcome.out == ""
        assert contents(tmp_path) == before


def test_an_older_export_is_replaced(artifact: Path) -> None:
    target = artifact.with_name("cnn_bn.learned.onnx")
    target.write_text("an older one")
    done("export", artifact)
    onnx.checker.check_model(onnx.load(target))


def test_a_full_disk(artifact: Path) -> None:
    target = artifact.with_name("cnn_bn.learned.onnx")
    target.write_text("an older one")
    before = contents(artifact.parent)
    with largest_file(1_000):
        outcome = call("export", artifact)
    check_refused(outcome, target, "File too large")
    assert contents(artifact.parent) == before


def test_a_model_that_answers_differently_is_refused(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The changed weight stands for a fault in a fusion."""
    finish = export.finish

    def faulty(model: Any, *rest: Any) -> None:
        bias = model.graph.initializers["fc.bias"]
        bias.const_value = type(bias.const_value)(bias.const_value.numpy() + 0.01, name="fc.bias")
        finish(model, *rest)

    monkeypatch.setattr(export, "finish", faulty)
    before = contents(artifact.parent)
    check_refused(call("export", artifact), "answers differently", "nothing was written")
    assert contents(artifact.parent) == before


def test_the_measure() -> None:
    wanted = [np.array([[2.0, -10.0]]), np.array([[1.0, 0.0]])]
    found = [wanted[0] + 0.0009, wanted[1]]
    assert export.compare(wanted, found)["deviation"] == pytest.approx(0.00009)
    for wrong in (wanted[1] + 0.0011, wanted[1] * np.nan):
        with pytest.raises(ModelError, match="answers differently"):
            export.compare(wanted, [wanted[0], wrong])


def test_a_state_of_another_shape(folder: Path) -> None:
    loaded = load(folder / "cnn_bn.sparcl")
    state = load_file(loaded.folder / "state.safetensors")
    with pytest.raises(CheckpointError, match=r"fc\.bias of shape \[5\]"):
        export.export_model(loaded, {**state, "fc.bias": np.zeros(6, np.float32)}, {})
