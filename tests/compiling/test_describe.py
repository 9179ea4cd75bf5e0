"""The manifest against the files that it describes: names, shapes and counts."""

import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest

from sparcl_compile.interface import artifact as artifacts
from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.names import Role
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.runtime.session.engine import SUMS, Sizes
from tests.support.cli import done, write_artifact

FORMS = {
    "masked": (),
    "rows": ("--gradient-scheme", "channel"),
    "folded": ("--scheme", "channel", "--sparsity", "0.5"),
    "merged": ("--replay-batches", "merged", "--momentum", "0.9"),
    "gradients": ("--sparsity", "0"),
    "compressed": ("--compress", "--no-select-kernels"),
}


@pytest.fixture(scope="module", params=FORMS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    if request.param == "compressed" and kernels.library() is None:
        pytest.skip(kernels.reason())
    folder = tmp_path_factory.mktemp(request.param)
    return artifacts.load(write_artifact(folder, *FORMS[request.param], name="resnet"))


def test_every_name_of_a_weight_is_state_of_its_role_and_no_other_state_has_that_role(made: Artifact) -> None:
    by_role = {
        Role.MASK: lambda weight: (weight.mask,),
        Role.INDEX: lambda weight: (weight.index, weight.rows),
        Role.GRADIENT_MASK: lambda weight: (weight.gradient_mask,),
        Role.GRADIENT_ROWS: lambda weight: (weight.gradient_rows,),
    }
    assert made.manifest.weights
    for role, names in by_role.items():
        listed = [name for weight in made.manifest.weights for name in names(weight) if name is not None]
        assert sorted(listed) == sorted(spec.name for spec in made.manifest.state if spec.role is role)


def test_what_is_fed_for_a_weight_is_an_input_of_the_graph(made: Artifact) -> None:
    graphs = {name: [one.name for one in graph.inputs] for name, graph in made.manifest.graphs.items()}
    measuring = graphs.get("measure", graphs["train"])
    updates = [names for name, names in graphs.items() if name.startswith("update_")]
    assert updates
    for weight in made.manifest.weights:
        assert weight.accumulator in measuring
        assert all({weight.g1, weight.g2} <= set(names) for names in updates)


def test_the_graph_measure_gives_the_gradients_of_the_masked_weights_only(made: Artifact) -> None:
    if "measure" not in made.manifest.graphs:
        return
    accumulators = [one.name for one in made.manifest.graphs["measure"].inputs if "accumulation" in one.name]
    assert sorted(accumulators) == sorted(weight.accumulator for weight in made.manifest.weights)


def test_inputs_and_outputs_are_those_of_the_files(made: Artifact) -> None:
    for (name, graph), sample in itertools.product(made.manifest.graphs.items(), SUMS):
        proto, sizes = onnx.load(made.path(name, sample)).graph, Sizes(sample)
        inputs = [(one.name, sizes.dtype(one.dtype), list(one.shape)) for one in graph.inputs]
        assert inputs == [_described(v) for v in proto.input]
        assert list(graph.outputs) == [value.name for value in proto.output]
        assert graph.kernels == any(node.domain == "sparcl" for node in proto.node)
        assert not [one.key for node in proto.node for one in node.metadata_props if "onnxscript" in one.key]


def _described(value: onnx.ValueInfoProto) -> tuple[str, str, list[int | str]]:
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return value.name, dtype, [length.dim_param or length.dim_value for length in tensor.shape.dim]


def test_results_are_what_no_state_takes(made: Artifact) -> None:
    state = {f"{spec.name}.next" for spec in made.manifest.state}
    for name, graph in made.manifest.graphs.items():
        assert not set(graph.results) & state
        assert set(graph.results) <= set(graph.outputs)
        wanted = {"train": ("loss", "logits"), "measure": ("loss", "logits"), "optimizer": (), "eval": ("logits",)}
        assert graph.results == wanted.get(name, graph.results)


def test_a_checkpoint_holds_all_state_but_gradients(made: Artifact) -> None:
    """And but for what is made anew where it is needed: sums over the data, counts of a test set.

    A learner's state stands in the middle of an epoch, and its report tells of the last evaluation.
    """
    made_anew = {Role.GRADIENT, Role.MEASURED, Role.DATA, Role.RESULT}
    assert {spec.role for spec in made.manifest.state if not spec.saved} <= made_anew
    saved = {spec.name for spec in made.manifest.state if spec.saved and spec.role in made_anew}
    of_a_learner = {"epoch.loss", "epoch.steps", "score.class_correct", "score.class_seen"}
    assert saved == {"data.mean", "data.std", "accuracy.class", "accuracy.task"} | of_a_learner


def test_no_more_weights_are_updated_than_kept(tmp_path: Path) -> None:
    found = artifacts.load(write_artifact(tmp_path, "--gradient-sparsity", "0.1")).manifest
    assert [weight.updated for weight in found.weights] == [weight.base for weight in found.weights]
    assert found.flops.weight_gradient_sparse == found.flops.forward_sparse


def test_the_report_speaks_of_what_it_cannot_know_or_do(tmp_path: Path) -> None:
    """A table that may be a constant and has no mask, and a sum of places, for which the usual rate is too high."""
    text = """<ir_version: 10, opset_import: ["" : 18]>
    g (float[N,8,4] x, float[4,5] w, float[8,5] table, float[5,3] head) => (float[N,3] logits)
      <int64[1] places = {1}> {
      a = MatMul (x, w)
      b = Relu (a)
      c = Add (b, table)
      s = ReduceSum <keepdims = 0> (c, places)
      logits = MatMul (s, head)
    }"""
    proto = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    for name, shape in {"w": (4, 5), "table": (8, 5), "head": (5, 3)}.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name))
    onnx.save(proto, tmp_path / "set.onnx")
    lines = [line for line in done("compile", tmp_path / "set.onnx").out.splitlines() if line.startswith("note: ")]
    doubtful, unmasked, summed = lines
    assert doubtful.startswith("note: table trains: whether that is a parameter or a constant")
    assert unmasked.startswith("note: no mask on table (40 of 75 parameters)")
    assert "adds up 8 places" in summed
    assert "compare with sparcl-run --lr 0.053 and 0.019" in summed
    dense = done("compile", tmp_path / "set.onnx", "--sparsity", "0", "--freeze", "table").out
    assert "no mask on" not in dense
    assert "table trains" not in dense
