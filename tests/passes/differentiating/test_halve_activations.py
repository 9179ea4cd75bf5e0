"""Activations in half precision: the text of the graph, and trainings against the same network with casts in it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.passes.analysis.liveness.buffers import plan
from sparcl_compile.passes.analysis.liveness.chains import backward_nodes
from sparcl_compile.passes.core.operators import sparse_nodes
from sparcl_compile.passes.differentiating.halve_activations import OUTPUTS, HalveActivations, pays, takes_half
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.settings.options import CompileOptions
from tests.support.form import Form, batches, write_small
from tests.support.small_model import changed_lines, run_twice

needs_kernels = pytest.mark.skipif(kernels.library() is None, reason=kernels.reason())
HALF = ir.DataType.BFLOAT16

GRAPH = """
<ir_version: 10, opset_import: ["" : 18, "sparcl" : 1]>
training (float[4,5,5,N] x, float[9] v, int32[9] i, int32[7] r, float[6] s, float[6] b, float[6] m, float[6] d,
          int64[4] shape{inputs})
=> (float loss, float[9] dv, float[6] ds{outputs})
<float loss_grad = {{2.0}}, float[6,5,5,N] c, float[6,5,5,N] n, float[6,5,5,N] p, float[6,5,5,N] dn{values}>
{{
  [conv] c = sparcl.SparseConv <channels = 4> (x, v, i, r)
  [norm] n, mn, dn_, sm, si = sparcl.BatchNormTraining <relu = 1> (c, s, b, {addend}, m, d)
  [next] p = sparcl.SparseConv <channels = 6> (n, v, i, r)
  {forward}
  [loss] loss = ReduceSum <keepdims = 0> (p)
  [dp] dp = Expand (loss_grad, shape)
  [dw] dv = sparcl.SparseConvWeightGrad <channels = 6> (n, dp, i, r{mask})
  [dn] dn = sparcl.SparseConvInputGrad <channels = 6> (dp, v, i, r)
  [dc] dc, ds, db = sparcl.BatchNormGrad <relu = 1> (dn, c, s, sm, si, n)
  {backward}
}}
"""


def graph(**parts: str) -> ir.Model:
    empty = dict.fromkeys(("inputs", "outputs", "values", "forward", "backward", "mask"), "")
    return ir.from_onnx_text(GRAPH.format(**({"addend": '""'} | empty | parts)))


def test_text() -> None:
    model = graph()
    before = run_twice(HalveActivations(), model)
    assert changed_lines(before, model) == [
        "-[conv] c = sparcl.SparseConv <channels: int = 4> (x, v, i, r)",
        '-[norm] n, mn, dn_, sm, si = sparcl.BatchNormTraining <relu: int = 1> (c, s, b, "", m, d)',
        "-[next] p = sparcl.SparseConv <channels: int = 6> (n, v, i, r)",
        '+[conv] "", "c.bf16" = sparcl.SparseConv <channels: int = 4> (x, v, i, r)',
        '+[norm] "", mn, dn_, sm, si, "n.bf16" = sparcl.BatchNormTraining <relu: int = 1> '
        '("", s, b, "", m, d, "c.bf16")',
        '+[next] p = sparcl.SparseConv <channels: int = 6> ("", v, i, r, "", "n.bf16")',
        "-[dw] dv = sparcl.SparseConvWeightGrad <channels: int = 6> (n, dp, i, r)",
        '+[dw] dv = sparcl.SparseConvWeightGrad <channels: int = 6> ("", dp, i, r, "", "n.bf16")',
        "-[dc] dc, ds, db = sparcl.BatchNormGrad <relu: int = 1> (dn, c, s, sm, si, n)",
        '+[dc] dc, ds, db = sparcl.BatchNormGrad <relu: int = 1> (dn, "", s, sm, si, "", "c.bf16", "n.bf16")',
    ]
    halves = [out for node in model.graph for out in node.outputs if str(out.name).endswith(".bf16")]
    assert [(out.name, out.dtype, out.shape) for out in halves] == [
        ("c.bf16", HALF, [6, 5, 5, "N"]),
        ("n.bf16", HALF, [6, 5, 5, "N"]),
    ]


def inputs_of(model: ir.Model, name: str) -> list[str | None]:
    node = next(node for node in model.graph if node.name == name)
    return [None if value is None else value.name for value in node.inputs]


def test_an_addend_and_a_gradient_mask_keep_their_places() -> None:
    # A normalisation of what a convolution gives plus the same.
    model = graph(addend="c", inputs=", float[9] mask", mask=", mask")
    run_twice(HalveActivations(), model)
    assert inputs_of(model, "norm") == [None, "s", "b", None, "m", "d", "c.bf16", "c.bf16"]
    assert inputs_of(model, "dw") == [None, "dp", "i", "r", "mask", "n.bf16"]


def test_another_operator_reads_the_numbers_that_are_not_rounded() -> None:
    model = graph(forward="[mean] e = ReduceMean <keepdims = 0> (n)", outputs=", float e")
    run_twice(HalveActivations(), model)
    assert inputs_of(model, "mean") == ["n"]
    assert inputs_of(model, "next") == [None, "v", "i", "r", None, "n.bf16"]
    norm = next(node for node in model.graph if node.name == "norm")
    assert [out.name for out in norm.outputs] == ["n", "mn", "dn_", "sm", "si", "n.bf16"]


def test_the_backward_alone_reads_the_rounded_numbers() -> None:
    model = graph()
    run_twice(HalveActivations(backward_only=True), model)
    assert inputs_of(model, "norm") == ["c", "s", "b", None, "m", "d"]
    assert inputs_of(model, "next") == ["n", "v", "i", "r"]
    assert inputs_of(model, "dw") == [None, "dp", "i", "r", None, "n.bf16"]
    assert inputs_of(model, "dc") == ["dn", None, "s", "sm", "si", None, "c.bf16", "n.bf16"]
    assert [out.name for out in model.graph[1].outputs] == ["n", "mn", "dn_", "sm", "si", "n.bf16"]


VIEW = "[view] w = Flatten (n)"


@pytest.mark.parametrize(
    "parts",
    [
        {"backward": "[more] e = Mul (n, dn)", "outputs": ", float[6,5,5,N] e"},
        {"forward": VIEW, "backward": "[more] e = Mul (w, dn)", "outputs": ", float[6,M] e"},
        {"outputs": ", float[6,5,5,N] n"},
        {"forward": VIEW, "outputs": ", float[6,M] w"},
    ],
    ids=["read in the backward", "a view of it is", "an output", "a view is an output"],
)
def test_what_stays_float32(parts: dict[str, str]) -> None:
    model = graph(**parts)
    run_twice(HalveActivations(), model)
    assert inputs_of(model, "next") == ["n", "v", "i", "r"]
    assert inputs_of(model, "dc") == ["dn", None, "s", "sm", "si", "n", "c.bf16"]


def test_a_forward_graph_is_left_alone() -> None:
    model = graph()
    del model.graph.outputs[1:]
    for node in reversed(list(model.graph)[4:]):
        model.graph.remove(node, safe=True)
    assert not HalveActivations().call(model).modified


class Cast(HalveActivations):
    """The same activations, rounded by two Casts of ONNX in place of the kernels."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        backward = backward_nodes(model.graph)
        nodes = [node for node in sparse_nodes(model.graph) if node.op_type in OUTPUTS]
        for node in [node for node in nodes if pays(node.outputs[0], backward)]:
            whole, insert = node.outputs[0], self.inserter(model.graph).behind(node)
            uses = [(usage.node, usage.idx) for usage in whole.uses()]
            readers = [use for use in uses if not self.backward_only or use[0] in backward]
            half = insert.op(
                "Cast", whole, name=f"{whole.name}.bf16", like=whole, dtype=ir.TensorType(HALF), to=HALF.value
            )
            again = insert.op("Cast", half, name=f"{whole.name}.again", like=whole, to=ir.DataType.FLOAT.value)
            for reader, slot in readers:
                if takes_half(reader, slot):
                    reader.replace_input_with(slot, again)
        return ir.passes.PassResult(model, True)


OPTIONS: dict[str, Any] = {"compress": True, "select_kernels": False, "activations": "bf16", "sparsity": 0.5}


def trained(form: Form, sample: tuple[int, ...], steps: int) -> dict[str, np.ndarray]:
    """What is learned after some steps, the first of which chooses gradients, and the logits of the last one."""
    for step in range(steps):
        current, replay = batches(step, sample)
        logits = form.step(current, replay, 0.003)
    roles = ("parameter", "running_stat", "gradient_mask")
    learned = {name: np.array(form.engine.array(name)) for role in roles for name in form.engine.names(role)}
    return learned | {"logits": logits}


@needs_kernels
@pytest.mark.parametrize(
    ("model", "changed"),
    [
        ("resnet", {}),
        pytest.param("resnet", {"target": "ort-training"}, marks=pytest.mark.training_build),
        ("resnet", {"scheme": "block4x1", "method": "finetune", "gradient_sparsity": 0.0}),
        ("resnet", {"activations": "bf16-backward"}),
        ("pooled", {"update": "last:1"}),
    ],
)
def test_the_kernels_round_as_casts_do(
    model: str, changed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = write_small(model, tmp_path / "model.onnx", seed=0)
    options = CompileOptions(**(OPTIONS | changed))
    found = trained(Form(tmp_path / "model.onnx", tmp_path / "halved.sparcl", options), sample, 2)
    monkeypatch.setattr(HalveActivations, "call", Cast.call)
    wanted = trained(Form(tmp_path / "model.onnx", tmp_path / "casts.sparcl", options), sample, 2)
    text = (tmp_path / "casts.sparcl" / "train" / "training_model.onnx").read_bytes()
    assert text.count(b".bf16") > 1
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@needs_kernels
@pytest.mark.parametrize(("halved", "usual"), [("bf16", 0.05), ("bf16-backward", 0.01)])
def test_the_step_is_that_of_float32_but_for_rounding(halved: str, usual: float, tmp_path: Path) -> None:
    """Of each layer within 5 %; of the middle one less, where the forward is float32's.

    Over three seeds and two versions of the kernels, whose sums differ in the
    last digits, their error was 0.014 to 0.038 with bf16-backward, and that of the middle layer 0.0025 to 0.0053.
    """
    sample = write_small("resnet", tmp_path / "model.onnx", seed=0)
    steps = {}
    for activations in ("f32", halved):
        options = CompileOptions(**(OPTIONS | {"activations": activations, "gradient_sparsity": 0.0}))
        form = Form(tmp_path / "model.onnx", tmp_path / f"{activations}.sparcl", options)
        first = {name: np.array(form.engine.array(name)) for name in form.engine.names("parameter")}
        steps[activations] = {name: trained(form, sample, 1)[name] - first[name] for name in first}
    errors = {}
    for name, wanted in steps["f32"].items():
        errors[name] = np.linalg.norm(steps[halved][name] - wanted) / np.linalg.norm(wanted)
    assert max(errors.values()) < 0.05, errors
    assert np.median(list(errors.values())) < usual, errors


@needs_kernels
def test_the_estimated_peak_falls(tmp_path: Path) -> None:
    write_small("resnet", tmp_path / "model.onnx", seed=0)
    peaks = {}
    for activations in ("f32", "bf16"):
        options = CompileOptions(**(OPTIONS | {"activations": activations}))
        Form(tmp_path / "model.onnx", tmp_path / activations, options)
        peaks[activations] = plan(ir.load(tmp_path / activations / "train" / "training_model.onnx"), 32).peak_bytes
    assert peaks["bf16"] < 0.7 * peaks["f32"]
