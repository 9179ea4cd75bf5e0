"""Normalised activations that are never written: the text of the graph, and trainings against those that are."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.passes.analysis.liveness.buffers import plan
from sparcl_compile.passes.differentiating.normalise_on_load import NormaliseOnLoad
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.settings.options import CompileOptions
from tests.support.form import Form, batches, write_small
from tests.support.small_model import changed_lines, run_twice

needs_kernels = pytest.mark.skipif(kernels.library() is None, reason=kernels.reason())

GRAPH = """
<ir_version: 10, opset_import: ["" : 18, "sparcl" : 1]>
training (float[6,5,5,N] c, float[9] v, int32[9] i, int32[7] r, float[6] s, float[6] b, float[6] m, float[6] d,
          int64[4] shape{inputs})
=> (float loss, float[9] dv, float[6] ds{outputs})
<float loss_grad = {{2.0}}, float[6,5,5,N] n, float[6,5,5,N] p, float[6,5,5,N] dn>
{{
  [norm] n, mn, dn_, sm, si = sparcl.BatchNormTraining{relu} (c, s, b, {addend}, m, d)
  [next] p = sparcl.SparseConv <channels = 6> (n, v, i, r)
  {forward}
  [loss] loss = ReduceSum <keepdims = 0> (p)
  [dp] dp = Expand (loss_grad, shape)
  [dw] dv = sparcl.SparseConvWeightGrad <channels = 6> (n, dp, i, r{mask})
  [dn] dn = sparcl.SparseConvInputGrad <channels = 6> (dp, v, i, r)
  [dc] dc, ds, db = sparcl.BatchNormGrad{relu} (dn, c, s, sm, si{gate})
}}
"""
RELU = {"relu": " <relu = 1>", "gate": ", n"}


def graph(**parts: str) -> ir.Model:
    empty = dict.fromkeys(("inputs", "outputs", "forward", "mask", "relu", "gate"), "")
    return ir.from_onnx_text(GRAPH.format(**({"addend": '""'} | empty | parts)))


def test_text() -> None:
    model = graph(**RELU)
    before = run_twice(NormaliseOnLoad(), model)
    assert changed_lines(before, model) == [
        '-[norm] n, mn, dn_, sm, si = sparcl.BatchNormTraining <relu: int = 1> (c, s, b, "", m, d)',
        "-[next] p = sparcl.SparseConv <channels: int = 6> (n, v, i, r)",
        '+[norm] "", mn, dn_, sm, si, "", "n.saved_factor", "n.saved_offset" = sparcl.BatchNormTraining '
        '<relu: int = 1> (c, s, b, "", m, d)',
        '+[next] p = sparcl.SparseConv <channels: int = 6, relu: int = 1> (c, v, i, r, "", "", "n.saved_factor", '
        '"n.saved_offset")',
        "-[dw] dv = sparcl.SparseConvWeightGrad <channels: int = 6> (n, dp, i, r)",
        '+[dw] dv = sparcl.SparseConvWeightGrad <channels: int = 6, relu: int = 1> (c, dp, i, r, "", "", '
        '"n.saved_factor", "n.saved_offset")',
        "-[dc] dc, ds, db = sparcl.BatchNormGrad <relu: int = 1> (dn, c, s, sm, si, n)",
        '+[dc] dc, ds, db = sparcl.BatchNormGrad <relu: int = 1> (dn, c, s, sm, si, "", "", "", "n.saved_factor", '
        '"n.saved_offset")',
    ]
    numbers = [out for node in model.graph for out in node.outputs if ".saved_" in str(out.name)]
    assert [(out.dtype, out.shape) for out in numbers] == [(ir.DataType.FLOAT, [6])] * 2


def test_without_a_relu_there_is_no_gate() -> None:
    model = graph(inputs=", float[9] mask", mask=", mask")
    run_twice(NormaliseOnLoad(), model)
    text = ir.to_onnx_text(model)
    assert '[next] p = sparcl.SparseConv <channels: int = 6> (c, v, i, r, "", "", "n.saved_factor"' in text
    assert '(c, dp, i, r, mask, "", "n.saved_factor", "n.saved_offset")' in text
    assert "BatchNormGrad (dn, c, s, sm, si)" in text


@pytest.mark.parametrize(
    "parts",
    [
        {"addend": "c"},
        {"forward": "[mean] e = ReduceMean <keepdims = 0> (n)", "outputs": ", float e"},
        {"outputs": ", float[6,5,5,N] n"},
    ],
    ids=["an addend", "another reader", "an output"],
)
def test_what_is_written(parts: dict[str, str]) -> None:
    assert not NormaliseOnLoad().call(graph(**RELU, **parts)).modified


OPTIONS: dict[str, Any] = {"compress": True, "select_kernels": False, "sparsity": 0.5}


@needs_kernels
@pytest.mark.parametrize(
    "changed",
    [
        {"scheme": "block4x1", "method": "finetune", "gradient_sparsity": 0.0},
        pytest.param({"target": "ort-training"}, marks=pytest.mark.training_build),
    ],
)
def test_the_same_training(changed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = write_small("resnet", tmp_path / "model.onnx", seed=0)
    options = CompileOptions(**(OPTIONS | changed))
    loaded = Form(tmp_path / "model.onnx", tmp_path / "loaded.sparcl", options)
    monkeypatch.setattr(NormaliseOnLoad, "call", lambda _, model: ir.passes.PassResult(model, False))
    written = Form(tmp_path / "model.onnx", tmp_path / "written.sparcl", options)
    for step in range(3):
        current, replay = batches(step, sample)
        logits = [form.step(current, replay, 0.003) for form in (loaded, written)]
        np.testing.assert_allclose(logits[0], logits[1], atol=1e-5)
    for name in [name for role in ("parameter", "running_stat") for name in written.engine.names(role)]:
        found, wanted = (form.engine.array(name) for form in (loaded, written))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5, err_msg=name)
    peaks = [
        plan(ir.load(tmp_path / f"{n}.sparcl/train/training_model.onnx"), 32).peak_bytes for n in ("loaded", "written")
    ]
    assert peaks[0] < 0.9 * peaks[1]
