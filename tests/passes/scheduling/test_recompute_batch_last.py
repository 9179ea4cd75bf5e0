"""Recomputed outputs of batch-last normalisations: the text of the graph, and trainings beside those that keep them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.passes.analysis.liveness.buffers import plan
from sparcl_compile.passes.analysis.liveness.chains import backward_nodes, candidates
from sparcl_compile.passes.scheduling.recompute_activations import RecomputeActivations, apply
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.settings.options import CompileOptions
from tests.support.form import Form, batches, write_small
from tests.support.small_model import changed_lines

needs_kernels = pytest.mark.skipif(kernels.library() is None, reason=kernels.reason())

GRAPH = """
<ir_version: 10, opset_import: ["" : 18, "sparcl" : 1]>
training (float[6,5,5,N] c, float[6,5,5,N] k, float[9] v, int32[9] i, int32[7] r, float[6] s, float[6] b, float[6] m,
          float[6] d, int64[4] shape)
=> (float loss, float[9] dv, float[6] ds)
<float loss_grad = {{2.0}}, float[6,5,5,N] n, float[6,5,5,N] o, float[6,5,5,N] p, float[6,5,5,N] dn{types}>
{{
  [first] n, mn, vn, sm, si = sparcl.BatchNormTraining <relu = 1> (c, s, b, "", m, d)
  {norm}
  [next] p = sparcl.SparseConv <channels = 6> ({x}, v, i, r{x16})
  [loss] loss = ReduceSum <keepdims = 0> (p)
  [dp] dp = Expand (loss_grad, shape)
  [dw] dv = sparcl.SparseConvWeightGrad <channels = 6> ({x}, dp, i, r{mask}{x16})
  [dn] dn = sparcl.SparseConvInputGrad <channels = 6> (dp, v, i, r)
  [dc] dc, ds, db, da = sparcl.BatchNormGrad <relu = 1> (dn, k, s, sm2, si2, {x}{gate16})
}}
"""
WHOLE = {
    "norm": "[norm] o, mn2, vn2, sm2, si2 = sparcl.BatchNormTraining <relu = 1> (k, s, b, n, m, d)",
    "x": "o",
    **dict.fromkeys(("types", "x16", "mask", "gate16"), ""),
}
HALF = {
    "norm": '[norm] "", mn2, vn2, sm2, si2, o16 = sparcl.BatchNormTraining <relu = 1> (k, s, b, n, m, d)',
    "types": ", bfloat16[6,5,5,N] o16",
    "x": '""',
    "x16": ', "", o16',
    "mask": "",
    "gate16": ', "", o16',
}


def graph(parts: dict[str, str]) -> ir.Model:
    return ir.from_onnx_text(GRAPH.format(**parts))


def test_text() -> None:
    before, model = graph(WHOLE), graph(WHOLE)
    apply(model, ["o"], RecomputeActivations(enabled=True))
    assert changed_lines(before, model) == [
        '-[first] n, mn, vn, sm, si = sparcl.BatchNormTraining <relu: int = 1> (c, s, b, "", m, d)',
        "-[norm] o, mn2, vn2, sm2, si2 = sparcl.BatchNormTraining <relu: int = 1> (k, s, b, n, m, d)",
        '+[first] n, mn, vn, sm, si, "", "n.saved_factor", "n.saved_offset" = sparcl.BatchNormTraining '
        '<relu: int = 1> (c, s, b, "", m, d)',
        '+[norm] o, mn2, vn2, sm2, si2, "", "o.saved_factor", "o.saved_offset" = sparcl.BatchNormTraining '
        "<relu: int = 1> (k, s, b, n, m, d)",
        '+["o.again.3"] "o.again.3" = sparcl.BatchNormApply <relu: int = 1> (c, "n.saved_factor", "n.saved_offset")',
        '+["o.again"] "o.again" = sparcl.BatchNormApply <relu: int = 1> '
        '(k, "o.saved_factor", "o.saved_offset", "o.again.3")',
        "-[dw] dv = sparcl.SparseConvWeightGrad <channels: int = 6> (o, dp, i, r)",
        '+[dw] dv = sparcl.SparseConvWeightGrad <channels: int = 6> ("o.again", dp, i, r)',
        "-[dc] dc, ds, db, da = sparcl.BatchNormGrad <relu: int = 1> (dn, k, s, sm2, si2, o)",
        '+[dc] dc, ds, db, da = sparcl.BatchNormGrad <relu: int = 1> (dn, k, s, sm2, si2, "o.again")',
    ]


def test_half_precision_is_recomputed_in_half_precision() -> None:
    model = graph(HALF)
    found = candidates(model.graph, backward_nodes(model.graph))
    assert [value.name for value in found] == ["o16"]
    apply(model, ["o16"], RecomputeActivations(enabled=True))
    again = next(node for node in model.graph if node.name == "o16.again")
    assert [out.name for out in again.outputs] == ["", "o16.again"]
    assert again.outputs[1].dtype is ir.DataType.BFLOAT16
    assert [out.name for out in model.graph.node("norm").outputs[5:]] == ["o16", "o16.saved_factor", "o16.saved_offset"]


def test_what_is_normalised_on_load_is_no_candidate() -> None:
    norm = '[norm] "", mn2, vn2, sm2, si2, "", f, g = sparcl.BatchNormTraining <relu = 1> (k, s, b, "", m, d)'
    model = graph({**WHOLE, "norm": norm, "x": "k"})
    assert candidates(model.graph, backward_nodes(model.graph)) == []


OPTIONS: dict[str, Any] = {"compress": True, "select_kernels": False, "sparsity": 0.5}


@needs_kernels
@pytest.mark.parametrize(
    "changed",
    [
        {"method": "finetune", "gradient_sparsity": 0.0},
        {"activations": "bf16", "scheme": "block4x1"},
        pytest.param({"target": "ort-training"}, marks=pytest.mark.training_build),
    ],
)
def test_the_same_training_to_the_bit(changed: dict[str, Any], tmp_path: Path) -> None:
    sample = write_small("resnet", tmp_path / "model.onnx", seed=0)
    forms, peaks = [], []
    for recompute in (False, True):
        options = CompileOptions(**(OPTIONS | changed), recompute=recompute)
        folder = tmp_path / f"{recompute}.sparcl"
        forms.append(Form(tmp_path / "model.onnx", folder, options))
        peaks.append(plan(ir.load(folder / "train/training_model.onnx"), 32).peak_bytes)
    for step in range(3):
        current, replay = batches(step, sample)
        kept, again = (form.step(current, replay, 0.003) for form in forms)
        np.testing.assert_array_equal(kept, again)
    for name in [name for role in ("parameter", "running_stat") for name in forms[0].engine.names(role)]:
        kept, again = (form.engine.array(name) for form in forms)
        np.testing.assert_array_equal(kept, again, err_msg=name)
    assert peaks[1] < 0.9 * peaks[0]
