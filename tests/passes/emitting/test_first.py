"""The graph of a step's first batch: the numbers of the training graph that begins anew, and where it is made."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import load
from sparcl_compile.passes.differentiating.differentiate import Differentiate
from sparcl_compile.passes.emitting import emit
from sparcl_compile.passes.emitting import first as first_graph
from sparcl_compile.passes.emitting.first import pays, to_first
from sparcl_compile.runtime.session.engine import Engine, Sizes
from sparcl_compile.settings.options import CompileOptions
from tests.support.cli import arrays, done, read_json, write_data, write_model
from tests.support.training_form import TARGETS, differentiated, gradients, training_feeds

STORED = {"sparsity": 0.5, "gradient_sparsity": 0.0, "target": "ort"}


def first(training: ir.Model) -> ir.Model:
    copy = training.clone()
    to_first(Differentiate(), copy)
    return copy


def test_gradients_are_outputs_and_no_accumulator_is_read() -> None:
    _, model = differentiated("ort")
    made = first(model)
    assert [str(value.name) for value in made.graph.outputs] == [str(value.name) for value in model.graph.outputs]
    gone = {str(value.name) for value in model.graph.inputs} - {str(value.name) for value in made.graph.inputs}
    assert gone == {name for name in map(str, gone) if name.endswith(".accumulation.buffer")} | {"lazy_reset_grad"}
    assert len(gone) > 4
    assert not any(str(node.name).startswith("accumulate.") for node in made.graph)


def test_gradients_are_those_of_a_graph_that_begins_anew() -> None:
    forward, model = differentiated("ort")
    feeds = training_feeds(model, forward)
    for name in [name for name in feeds if name.endswith(".accumulation.buffer")]:
        feeds[name] = np.full_like(feeds[name], 3.0)
    wanted, made = gradients(model, feeds), first(model)
    found = gradients(made, {str(value.name): feeds[str(value.name)] for value in made.graph.inputs})
    for name, array in found.items():
        np.testing.assert_array_equal(array, wanted[name], err_msg=name)


def test_a_gradient_of_two_parameters_and_one_of_none() -> None:
    text = """<ir_version: 10, opset_import: ["" : 18]>
    g (float[2] x, float[2] "a_grad.accumulation.buffer", float[2] "b_grad.accumulation.buffer",
       float[2] "c_grad.accumulation.buffer", float s)
    => (float[2] "a_grad.accumulation.buffer.next", float[2] "b_grad.accumulation.buffer.next",
        float[2] "c_grad.accumulation.buffer.next") <float[2] none = {0.0, 0.0}> {
        g = Neg (x)
        ka = Mul ("a_grad.accumulation.buffer", s) "a_grad.accumulation.buffer.next" = Add (ka, g)
        kb = Mul ("b_grad.accumulation.buffer", s) "b_grad.accumulation.buffer.next" = Add (kb, g)
        kc = Mul ("c_grad.accumulation.buffer", s) "c_grad.accumulation.buffer.next" = Add (kc, none)
    }"""
    model = ir.from_onnx_text(text)
    for value in model.graph.inputs:
        if str(value.name).endswith(".buffer"):
            value.metadata_props["sparcl.role"] = "gradient"
    made = first(model)
    assert [node.op_type for node in made.graph] == ["Neg", "Identity", "Identity"]
    assert [str(value.name) for value in made.graph.inputs] == ["x"]


@pytest.fixture
def small_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of the zoo are large enough."""
    monkeypatch.setattr(first_graph, "LEAST", 1)


@pytest.mark.parametrize("target", TARGETS)
def test_a_small_network_is_added_to(target: str) -> None:
    forward, model = differentiated(target)
    assert not pays(forward, model)


@pytest.mark.usefixtures("small_pays")
@pytest.mark.training_build
def test_nor_where_gradients_are_added_in_place() -> None:
    assert not pays(*differentiated("ort-training"))
    assert pays(*differentiated("ort"))


def artifact_of(name: str, folder: Path, **options: object) -> Path:
    folder.mkdir(exist_ok=True)
    compile_model(write_model(folder, name), folder / "one.sparcl", CompileOptions(**{**STORED, **options}))  # type: ignore[arg-type]
    return folder / "one.sparcl"


@pytest.mark.usefixtures("small_pays")
@pytest.mark.parametrize(
    ("name", "options", "made"),
    [
        ("mlp", {"method": "der++"}, True),
        ("mlp", {"method": "finetune"}, False),
        ("mlp", {"method": "der++", "replay_batches": "merged"}, False),
        ("mlp", {"method": "ewc"}, False),
        ("cnn_bn", {"method": "der++"}, False),
    ],
)
def test_where_it_is_made(name: str, options: dict[str, str], made: bool, tmp_path: Path) -> None:
    manifest = load(artifact_of(name, tmp_path, **options)).manifest
    assert ("train_first" in manifest.graphs) == made
    if made:
        graph = manifest.graphs["train_first"]
        assert set(graph.in_place) == {n for n in graph.updates.values() if n.endswith(".accumulation.buffer")}


@pytest.mark.usefixtures("small_pays")
def test_the_accumulators_memory_takes_the_gradients(tmp_path: Path) -> None:
    artifact = load(artifact_of("mlp", tmp_path, method="der++"))
    engine = Engine(artifact, threads=1, sizes=Sizes(dimensions={"samples": 4}))
    engine.reset_all()
    inputs = {one.name: one for one in artifact.manifest.graphs["train_first"].inputs}
    feeds = {
        name: np.ones([n if isinstance(n, int) else 4 for n in one.shape], one.dtype)
        for name, one in inputs.items()
        if name not in engine.state
    }
    names = engine.names("gradient")
    memory = {name: engine.array(name) for name in names}
    engine.run("train_first", feeds)
    assert all(engine.array(name) is memory[name] for name in names)
    assert any(np.abs(memory[name]).max() > 0 for name in names)


@pytest.mark.usefixtures("small_pays")
def test_a_run_is_the_same_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, results = write_data(tmp_path, **arrays(shape=(12,))), []
    for made in (True, False):
        with monkeypatch.context() as patch:
            if not made:
                patch.setattr(emit, "pays", lambda *_: False)
            folder = artifact_of("mlp", tmp_path / str(made), method="der++")
        assert (folder / "train_first").exists() == made
        output = tmp_path / f"{made}.json"
        done("run", folder, "--data", data, "--epochs", 2, "--batch-size", 4, "--buffer", 8, "--json", output)
        results.append(read_json(output))
    for name in ("accuracy_matrix", "samples_seen", "optimizer_steps"):
        assert results[0][name] == results[1][name]
