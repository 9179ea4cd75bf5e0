import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from sparcl_compile.costs.memory import keep_everything
from sparcl_compile.interface.names import accumulator_name
from sparcl_compile.passes.analysis.liveness.chains import MAX_ADDS, backward_nodes, candidates
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.scheduling.recompute_activations import RecomputeActivations, apply
from sparcl_compile.runtime.session.engine import device_copy
from sparcl_compile.runtime.session.sessions import session_options
from sparcl_compile.targets.choice import EXECUTORS
from tests.passes.analysis.liveness.test_buffers import random_feeds, resnet18_training_model, training_model
from tests.support.numbers import check_same
from tests.support.small_model import changed_lines, forward_model, run_twice
from tests.support.training_form import planned

RECOMPUTE = RecomputeActivations(enabled=True)
BUILDER = pytest.mark.training_build

HEAD = """
<ir_version: 10, opset_import: ["" : 18, "com.microsoft" : 1]>
g (float[N,4,8,8] x, float[4,4,3,3] w, float[4] scale, float[4] shift, float[4] mean, float[4] var)
=> (float[N,4,8,8] done, float loss, float[4] "mean.next", float[4] "var.next")
<float[1] loss_grad = {1.0}, float[N,4,8,8] c, float[N,4,8,8] b, float[N,4,8,8] r, float[N,4,8,8] d, float[N,4,8,8] e,
 float[N,4,8,8] f, float[N,4,8,8] h, float[4] m, float[4] i>
{
  [conv] c = Conv <pads = [1, 1, 1, 1]> (x, w)
"""
TAIL = """
  [pool] p = GlobalAveragePool (r)
  [loss] loss = ReduceSum <keepdims = 0> (p)
  [shape] s = Shape (r)
  [expand] d = Expand (loss_grad, s)
  [relu_grad] e = com.microsoft.ReluGrad (d, r)
"""
NORM = '[bn] b, "mean.next", "var.next", m, i = com.microsoft.BatchNormInternal (c, scale, shift, mean, var)\n'
NORM_GRAD = """
  [bn_grad] f, gs, gb = com.microsoft.BatchNormalizationGrad (e, c, scale, m, i)
  [conv_grad] h, gw = com.microsoft.ConvGrad (f, r, w)
  [done] done = Add (h, f)
}"""


def small() -> ir.Model:
    """Convolution, normalisation, ReLU, and a backward that reads the ReLU's output twice."""
    return ir.from_onnx_text(HEAD + NORM + "[relu] r = Relu (b)\n" + TAIL + NORM_GRAD)


def applied(model: ir.Model, *names: str) -> ir.Model:
    apply(model, names, RECOMPUTE)
    return model


def test_a_chain_normalises_again_and_the_backward_reads_it() -> None:
    before = small()
    assert changed_lines(before, applied(small(), "r")) == [
        '+["r.again.0.gain"] "r.again.0.gain" = Mul (scale, i)',
        '+["r.again.0"] "r.again.0" = BatchNormalization <epsilon: float = 0, momentum: float = 0> '
        '(c, "r.again.0.gain", shift, m, "recompute.ones_4")',
        '+["r.again"] "r.again" = Relu ("r.again.0")',
        "-[relu_grad] e = com.microsoft.ReluGrad (d, r)",
        '+[relu_grad] e = com.microsoft.ReluGrad (d, "r.again")',
        "-[conv_grad] h, gw = com.microsoft.ConvGrad (f, r, w)",
        '+[conv_grad] h, gw = com.microsoft.ConvGrad (f, "r.again", w)',
    ]


def test_what_is_inserted_names_the_pass() -> None:
    made = [n.name for n in applied(small(), "r").graph if n.metadata_props.get(PASS_KEY) == "recompute_activations"]
    assert made == ["r.again.0.gain", "r.again.0", "r.again"]


def test_two_chains_over_one_normalisation_cannot_be_merged() -> None:
    model = training_model_with_both()
    norms = [n for n in applied(model, "b", "r").graph if n.op_type == "BatchNormalization"]
    assert sorted(n.attributes["momentum"].as_float() for n in norms) == [0.0, 1.0]


def training_model_with_both() -> ir.Model:
    """The backward reads the normalisation's output too, as a ReLU6's gradient does."""
    return ir.from_onnx_text(HEAD + NORM + "[relu] r = Relu (b)\n" + TAIL + NORM_GRAD.replace("(e, c", "(k, c").replace(
        "  [bn_grad]", "  [k] k = Mul (e, b)\n  [bn_grad]"
    ))  # fmt: skip


def test_a_frozen_normalisation_is_copied() -> None:
    norm = "[bn] b = BatchNormalization <epsilon = 0.5> (c, scale, shift, mean, var)\n"
    rest = '[keep] "mean.next" = Identity (mean)\n[hold] "var.next" = Identity (var)\n'
    tail = TAIL + "[conv_grad] h, gw = com.microsoft.ConvGrad (e, r, w)\n[done] done = Add (h, e)\n}"
    model = applied(ir.from_onnx_text(HEAD + norm + "[relu] r = Relu (b)\n" + rest + tail), "r")
    again = next(n for n in model.graph if n.name == "r.again.0")
    assert [v.name for v in again.inputs if v is not None] == ["c", "scale", "shift", "mean", "var"]
    assert again.attributes["epsilon"].as_float() == 0.5


@pytest.mark.parametrize(
    ("forward", "found"),
    [
        (NORM + "[relu] r = Relu (b)\n", ["r"]),
        (NORM + "[relu] r = Clip (b, m, m)\n", ["r"]),
        (NORM + "[add] a = Add (b, x)\n[relu] r = Relu (a)\n", ["r"]),
        # A ReLU behind a convolution is written over it: nothing to win.
        (NORM + "[relu] r = Relu (c)\n", []),
        # A sigmoid is not cheap.
        (NORM + "[relu] r = Sigmoid (b)\n", []),
        # A sum of activations that are all kept is none either.
        (NORM + "[add] a = Add (x, c)\n[relu] r = Relu (a)\n", []),
        # Statistics that nobody saved cannot be used again.
        (NORM.replace(", m, i", "") + "[m] m = Abs (mean)\n[i] i = Abs (var)\n[relu] r = Relu (b)\n", []),
    ],
)
def test_candidates(forward: str, found: list[str]) -> None:
    graph = ir.from_onnx_text(HEAD + forward + TAIL + NORM_GRAD).graph
    assert [value.name for value in candidates(graph, backward_nodes(graph))] == found


def test_a_long_chain_of_additions_is_cut() -> None:
    chain, last = "", "b"
    readers = ""
    for index in range(MAX_ADDS + 3):
        chain += f"[a{index}] a{index} = Add ({last}, x)\n[r{index}] r{index} = Relu (a{index})\n"
        readers += f"[k{index}] k{index} = Mul (e, r{index})\n"
        last = f"r{index}"
    text = HEAD + NORM + chain + f"[relu] r = Relu ({last})\n" + TAIL + readers + NORM_GRAD
    graph = ir.from_onnx_text(text).graph
    found = [str(value.name) for value in candidates(graph, backward_nodes(graph))]
    assert f"r{MAX_ADDS - 1}" in found
    assert f"r{MAX_ADDS}" not in found


def test_off_or_without_a_backward_nothing_happens(tmp_path: Path) -> None:
    assert not RecomputeActivations()(training_model("resnet", tmp_path)).modified
    assert not RECOMPUTE.call(forward_model()).modified


@pytest.mark.parametrize("name", ["mlp", "cnn_folded", "token_transformer_symbolic", "max_pools_symbolic"])
def test_where_nothing_can_be_saved_nothing_is_changed(name: str, tmp_path: Path) -> None:
    model = training_model(name, tmp_path)
    text = ir.to_onnx_text(model, exclude_initializers=True)
    assert not RECOMPUTE(model).modified
    assert ir.to_onnx_text(model, exclude_initializers=True) == text


def prepared(name: str, target: str, folder: Path) -> ir.Model:
    """A graph as ``--recompute`` makes it, but for the recomputation itself."""
    model = training_model(name, folder, target=target, recompute=True)
    keep_everything(model)
    return model


SHARES = [
    ("ort", "resnet18", 0.62),
    *(
        pytest.param("ort-training", name, share, marks=pytest.mark.training_build)
        for name, share in (("resnet18", 0.6), ("mobilenet", 0.65), ("densenet_symbolic", 0.9))
    ),
]
"""By target and model the largest share of the peak that is left."""


@pytest.mark.parametrize(("target", "name", "share"), SHARES)
def test_the_peak_falls_and_each_recomputation_is_needed_for_it(
    target: str, name: str, share: float, tmp_path: Path
) -> None:
    kept = planned(training_model(name, tmp_path, target=target), RECOMPUTE.batch, target).peak_bytes
    model = prepared(name, target, tmp_path)
    before = run_twice(dataclasses.replace(RECOMPUTE, executor=EXECUTORS[target]), model)
    peak = planned(model, RECOMPUTE.batch, target).peak_bytes
    assert peak <= share * kept
    chosen = [n.name.removesuffix(".again") for n in model.graph if n.name and n.name.endswith(".again")]
    for left_out in chosen:
        fewer = applied(before.clone(), *(name for name in chosen if name != left_out))
        assert planned(fewer, RECOMPUTE.batch, target).peak_bytes > peak


@pytest.mark.training_build
def test_resnet_18_keeps_its_convolutions_outputs_only(tmp_path: Path) -> None:
    model = resnet18_training_model(tmp_path, target="ort-training")
    before = run_twice(dataclasses.replace(RECOMPUTE, executor=EXECUTORS["ort-training"]), model)
    found = planned(model, 32, "ort-training")
    assert found.peak_bytes < 0.6 * planned(before, 32, "ort-training").peak_bytes
    large = [str(one.value.name) for one in found.live if one.bytes >= 32 * 8 * 32 * 32 * 4]
    assert len(large) == 5
    assert all(name.endswith("Conv_output_0") for name in large)


def accumulated(model: ir.Model, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Losses, results and accumulators of one call under the engine's session options."""
    model = model.clone()
    model.functions.clear()
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), session_options(1))
    values = {name: device_copy(array) for name, array in feeds.items()}
    results = session.run_with_ort_values([str(v.name) for v in model.graph.outputs], values)
    suffix = accumulator_name("")
    given = {str(v.name): r.numpy() for v, r in zip(model.graph.outputs, results, strict=True)}
    held = {name: given.get(f"{name}.next", value.numpy()) for name, value in values.items() if name.endswith(suffix)}
    return {**held, **given}


def stepped(model: ir.Model, feeds: dict[str, np.ndarray], steps: int, rate: float) -> dict[str, np.ndarray]:
    """Plain gradient descent on the accumulators."""
    feeds = dict(feeds)
    for _ in range(steps):
        found = accumulated(model, feeds)
        for name in [name for name in feeds if accumulator_name(name) in feeds]:
            feeds[name] = feeds[name] - np.float32(rate) * found[accumulator_name(name)]
    return feeds


CASES: list[tuple[str, dict[str, Any]]] = [
    ("resnet18", {}),
    ("resnet18", {"sparsity": 0.0, "gradient_sparsity": 0.0}),
    # The backward reads masks of bytes here: one that is made of a recomputed value waits with it.
    ("resnet18", {"sparsity": 0.0, "gradient_sparsity": 0.0, "update": "norm"}),
]
FOR_TRAINING = [
    pytest.param(name, {**options, "target": "ort-training"}, marks=pytest.mark.training_build)
    for name, options in (*CASES, ("mobilenet", {}), ("densenet_symbolic", {}))
]


@pytest.mark.parametrize(("name", "options"), [*CASES, *FOR_TRAINING])
def test_gradients_are_those_of_the_graph_that_keeps_everything(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    model = training_model(name, tmp_path, **options)
    again = model.clone()
    assert RECOMPUTE(again).modified
    feeds = random_feeds(model, batch=4)
    feeds["labels"] = np.arange(4) % 5
    kept, recomputed = (accumulated(one, feeds) for one in (model, again))
    assert kept.keys() == recomputed.keys()
    for key, value in kept.items():
        check_same(recomputed[key], value, key)


STEPPED = [("ort", "resnet18"), *(pytest.param("ort-training", n, marks=BUILDER) for n in ("resnet18", "mobilenet"))]


@pytest.mark.parametrize(("target", "name"), STEPPED)
def test_weights_after_several_steps_are_the_same(target: str, name: str, tmp_path: Path) -> None:
    model = training_model(name, tmp_path, target=target)
    again = model.clone()
    assert RECOMPUTE(again).modified
    feeds = random_feeds(model, batch=4)
    kept, recomputed = (stepped(one, feeds, steps=5, rate=0.05) for one in (model, again))
    moved = 0.0
    for key, value in kept.items():
        np.testing.assert_allclose(recomputed[key], value, rtol=1e-4, atol=1e-4, err_msg=key)
        moved = max(moved, float(np.abs(value.astype(np.float64) - feeds[key]).max(initial=0)))
    assert moved > 1e-2
