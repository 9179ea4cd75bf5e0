"""The memory report: layers, state, both ways of compiling, what is printed, and a run with recomputation."""

import dataclasses
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch

from models.export import export
from models.resnet import resnet18
from models.small import depthwise_cnn, mlp
from sparcl_compile.cli import report
from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.costs import memory
from sparcl_compile.interface.artifact import read_report
from sparcl_compile.passes.analysis.liveness.buffers import plan
from sparcl_compile.passes.analysis.liveness.executor import EXECUTORS, TRAINING_BUILD
from sparcl_compile.passes.scheduling.recompute_activations import RecomputeActivations, is_recomputed
from sparcl_compile.settings.options import CompileOptions
from tests.passes.analysis.liveness.test_buffers import compiled, resnet18_training_model, training_model
from tests.support.cli import done, measured, read_json, write_model
from tests.support.described import state

DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits_cnn.onnx"


def printed(renderable: Any) -> str:
    out = io.StringIO()
    report.console(out).print(renderable)
    return out.getvalue()


@pytest.mark.training_build
def test_layers_of_a_dense_resnet_share_the_peak_by_their_size(tmp_path: Path) -> None:
    model = resnet18_training_model(tmp_path, sparsity=0.0, gradient_sparsity=0.0, target="ort-training")
    found = memory.peak(model, batch=32, executor=EXECUTORS[TRAINING_BUILD])
    assert sum(found.by_layer.values()) == found.peak_bytes
    # A layer of the first stage keeps its convolution's output and its ReLU's: 32 x 8 x 32 x 32 floats each.
    stage = 32 * 8 * 32 * 32 * 4
    statistics = 2 * 8 * 4
    for name in ("conv1", "stages.0.0.conv1", "stages.0.0.conv2", "stages.0.1.conv1", "stages.0.1.conv2"):
        assert found.by_layer[f"{name}.weight"] == 2 * stage + statistics
    names = list(found.by_layer)
    assert names.index("conv1.weight") < names.index("stages.1.0.conv1.weight") < names.index("stages.3.1.conv2.weight")
    assert [value.bytes for value in found.largest] == [stage] * 10
    assert found.at.endswith("ConvGrad_0")


def test_feeds_are_those_of_the_batch(tmp_path: Path) -> None:
    model = training_model("mlp", tmp_path)
    fed = [v for v in model.graph.inputs if v.name in ("x", "labels", "class_mask", "ce_weight", "distill_target")]
    assert len(fed) == 5
    per_sample = 4 * 12 + 8 + 4 * 5 + 4 + 4 * 5 + 4 + 8
    flag = 1
    assert memory.peak(model, batch=10).feed_bytes == 10 * per_sample + flag


def test_state_by_role() -> None:
    specs = [
        state("w", "parameter", (3, 4), "file"),
        state("b", "parameter", (), "file"),
        state("seen", "sample", ("samples",), "zeros", "int64"),
        state("keep", "sample", ("samples",), "ones"),
    ]
    assert memory.state_bytes(specs) == {"parameter": 52, "sample": 12}


def test_state_that_only_a_run_can_size_is_left_out() -> None:
    specs = [
        state("w", "parameter", (3, 4), "file"),
        state("buffer.x", "buffer", ("buffer", "C", "H", "W"), "zeros", "sample"),
        state("buffer.labels", "buffer", ("buffer",), "zeros", "int64"),
        state("buffer.seen", "buffer", (), "zeros", "int64"),
        state("data.sum", "data", ("C",), "zeros", "sum"),
        state("constant", "data", (3,), "zeros", "sample"),
    ]
    assert memory.state_bytes(specs) == {"parameter": 48, "buffer": 8}


def test_state_of_a_whole_artifact_can_be_counted(tmp_path: Path) -> None:
    artifact = compile_model(write_model(tmp_path), tmp_path / "a.sparcl", CompileOptions())
    assert {"sample", "sum"} < {spec.dtype for spec in artifact.manifest.state}
    counted = memory.state_bytes(artifact.manifest.state)
    trained = read_report(artifact.folder).memory.state_bytes
    assert {role: counted[role] for role in trained} == trained


def test_keeping_everything_again_undoes_the_recomputation(tmp_path: Path) -> None:
    model = training_model("resnet18", tmp_path)
    text = ir.to_onnx_text(model, exclude_initializers=True)
    peak = plan(model, 32).peak_bytes
    assert RecomputeActivations(enabled=True)(model).modified
    assert is_recomputed(model)
    memory.keep_everything(model)
    assert not is_recomputed(model)
    assert plan(model, 32).peak_bytes == peak
    assert ir.to_onnx_text(model, exclude_initializers=True).count("= Relu") == text.count("= Relu")


@pytest.mark.parametrize(
    ("name", "options"),
    [("resnet18", {}), ("resnet18", {"scheme": "channel"}), ("mobilenet", {}), ("densenet_symbolic", {})],
)
def test_what_recomputation_would_save_is_told_without_its_search(
    name: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = training_model(name, tmp_path, recompute=True, **options)
    monkeypatch.setattr("sparcl_compile.passes.scheduling.recompute_activations.choose", None)
    told = memory.to_report(training_model(name, tmp_path, **options), []).recompute
    found = plan(searched, 32).peak_bytes
    assert found <= told.peak_with <= told.peak_without
    assert found == told.peak_with or told.at_most


def test_a_peak_within_the_recomputation_is_an_upper_bound(tmp_path: Path) -> None:
    file = tmp_path / "depthwise.onnx"
    torch.manual_seed(0)
    export(depthwise_cnn(width=8), (3, 32, 32), file)
    entry = memory.to_report(compiled(file, tmp_path), [])
    assert entry.recompute.at_most
    assert re.search(r"with --recompute +at most \d", printed(report.memory_table(entry)))
    assert plan(compiled(file, tmp_path, recompute=True), 32).peak_bytes < entry.recompute.peak_with


def test_an_unknown_size_makes_the_peak_a_lower_bound(tmp_path: Path) -> None:
    model = training_model("mlp", tmp_path)
    node = ir.node("NonZero", [model.graph.outputs[0]], name="odd")
    node.outputs[0].name = "odd"
    model.graph.append(node)
    entry = memory.to_report(model, [])
    assert entry.unknown == ("odd",)
    assert "at least" in printed(report.memory_table(entry))


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("artifacts")
    made = {}
    for name, options in {"kept": (), "recomputed": ("--recompute",)}.items():
        made[name] = folder / f"{name}.sparcl"
        # Balanced classes leave more samples near a tie, which the last bits of two graphs turn.
        done("compile", DIGITS, "-o", made[name], "--loss-classes", "all", *options)
    return made


def test_both_reports_say_what_recomputation_saves(artifacts: dict[str, Path]) -> None:
    kept, again = (read_report(artifacts[name]).memory for name in ("kept", "recomputed"))
    assert kept.batch == again.batch == 3 * 32  # new samples, and DER++'s two batches merged with them
    assert kept.unknown == again.unknown == ()
    assert kept.state_bytes == again.state_bytes
    for entry in (kept, again):
        assert sum(one.bytes for one in entry.by_layer) == entry.peak_activation_bytes
    both = kept.recompute
    assert again.recompute == dataclasses.replace(both, enabled=True)
    assert kept.peak_activation_bytes == both.peak_without
    assert again.peak_activation_bytes == both.peak_with < 0.9 * both.peak_without


def test_the_commands_print_it(artifacts: dict[str, Path], tmp_path: Path) -> None:
    found = read_report(artifacts["recomputed"]).memory
    out = done("compile", DIGITS, "-o", tmp_path / "again.sparcl", "--recompute").out
    megabytes = found.peak_activation_bytes / 1e6
    assert re.search(rf"activations and gradients at the peak +{megabytes:,.2f}\s", out)
    assert "without --recompute" in out
    text = done("inspect", artifacts["kept"]).out
    assert "  with --recompute" in text
    assert "peak: 3.weight" in text
    facts = done("inspect", artifacts["kept"], "--json").out
    assert '"peak_activation_bytes"' in facts


def test_a_run_learns_the_same_with_and_without(artifacts: dict[str, Path], tmp_path: Path) -> None:
    results = {}
    for name, artifact in artifacts.items():
        path = tmp_path / f"{name}.json"
        options = (
            "--data",
            "digits",
            "--tasks",
            "5",
            "--epochs",
            "1",
            "--threads",
            "1",
            "--lr",  # a rate at which the last bits, in which two graphs part, stay the last bits
            "0.01",
            "--checkpoint",
            tmp_path / name,
        )
        done("run", artifact, *options, "--json", path)
        results[name] = read_json(path)
    assert results["recomputed"]["samples_removed"] == results["kept"]["samples_removed"]
    # Two graphs, whose weights may part in the last bits: that turns a few of a task's 70 samples, of 1.4 % each.
    for key in ("class_il", "task_il", "accuracy_matrix"):
        found, wanted = (np.array(results[name][key], np.float64) for name in ("recomputed", "kept"))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=5)


def test_peak_memory_of_a_process_falls(root: Path, tmp_path: Path) -> None:
    """The activations of this batch outweigh everything else.

    On a small network, such as that of the digits, the pool's fragments can cost more than recomputation saves.
    """
    torch.manual_seed(0)
    export(resnet18(width=8), (3, 32, 32), tmp_path / "resnet18.onnx")
    peaks = {}
    for options in ((), ("--recompute",)):
        folder = tmp_path / f"{len(options)}.sparcl"
        done(
            "compile", tmp_path / "resnet18.onnx", "-o", folder, "--sparsity", "0", "--gradient-sparsity", "0", *options
        )
        peaks[bool(options)] = measured(MEASURE.format(folder=str(folder), batch=BATCH), root)
        estimate = plan(ir.load(folder / "train" / "training_model.onnx"), BATCH).peak_bytes
        # The holes between the values, the graph and the feeds come on top.
        assert 0.8 * estimate < peaks[bool(options)] < 1.45 * estimate
    assert peaks[True] < 0.7 * peaks[False]


def test_gradients_take_no_memory_where_a_step_is_one_batch(root: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    export(mlp(width=1024, classes=10, pixels=3072), (3, 32, 32), tmp_path / "mlp.onnx")
    dense, peaks = ("--sparsity", "0", "--gradient-sparsity", "0"), {}
    for method in ("finetune", "der++"):
        folder = tmp_path / f"{method}.sparcl"
        done("compile", tmp_path / "mlp.onnx", "-o", folder, *dense, "--method", method)
        peaks[method] = measured(MEASURE.format(folder=str(folder), batch=8), root)
    stored, direct = (read_report(tmp_path / f"{name}.sparcl").memory for name in ("der++", "finetune"))
    state = stored.state_bytes
    assert state["gradient"] == state["parameter"] > 16 << 20
    assert "gradient" not in direct.state_bytes
    # The next parameters are written over the current ones.
    assert max(stored.result_bytes, direct.result_bytes) < 2 << 10
    assert peaks["der++"] - peaks["finetune"] > 0.8 * state["gradient"]


BATCH = 256
MEASURE = """
import sys
sys.modules["torch"] = None
from pathlib import Path
import numpy as np
from benchmarks.alone import status
from sparcl_compile.interface.artifact import load
from sparcl_compile.runtime.session.engine import Engine, Sizes
from tests.support.batches import current_batch

engine = Engine(load(Path("{folder}")), 1, Sizes(dimensions=dict(samples={batch}, C=3)))
engine.reset_all()
engine.run("standardise", dict(x=np.zeros((2, 3, 32, 32), np.float32)))
x, y = np.random.default_rng(0).normal(size=({batch}, 3, 32, 32)).astype(np.float32), np.arange({batch}) % 10
feeds = current_batch(x, y, np.zeros(10, np.float32), np.arange({batch})).feeds(first=True)
feeds |= dict(learning_rate=np.array(0.01, np.float32), count=np.array(1, np.float32), task_step=np.array(0))
before = status("VmRSS")
engine.run("train", feeds)
engine.run("train", feeds)
print(status("VmHWM") - before)
"""
