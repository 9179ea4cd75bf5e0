"""The graph that scores parameters: squared gradients of one sample's loss, against PyTorch."""

import numpy as np
import onnx_ir as ir
import pytest
import torch

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.roles import set_role
from sparcl_compile.passes.differentiating.differentiate import Differentiate
from sparcl_compile.passes.emitting.score import SQUARES, scoring
from tests.support import harness

TEXT = """
<ir_version: 10, opset_import: ["" : 18]>
forward (float[N,4] x, float[4,5] w, float[5] scale, float[5] shift, float[5] mean, float[5] variance, float[5,3] v)
=> (float[N,3] logits) <float[N,5] y, float[N,5] h, float[N,1] row_mean, float[N,1] row_steep, float[5] m, float[5] s> {
  [first] y = MatMul (x, w)
  [norm] NORM
  [last] logits = MatMul (h, v)
}
"""
FIXED = ("mean", "variance")
NORMS = {
    "layer": "h, row_mean, row_steep = LayerNormalization (y, scale, shift)",
    "batch": "h, m, s = BatchNormalization <training_mode = 1> (y, scale, shift, mean, variance)",
}
Arrays = dict[str, harness.Array]


def forward(norm: str) -> tuple[ir.Model, Arrays]:
    """Two products around a normalisation in training form, as the import leaves it, and their data."""
    model = ir.from_onnx_text(TEXT.replace("NORM", NORMS[norm]))
    rng, weights = np.random.default_rng(3), list(model.graph.inputs[1:])
    del model.graph.inputs[1:]
    for value in weights:
        data = rng.uniform(0.2, 1.0, size=[int(one) for one in value.shape or ()]).astype(np.float32)
        value.const_value = ir.tensor(data, name=value.name)
        set_role(value, Role.RUNNING_STAT if value.name in FIXED else Role.PARAMETER)
        model.graph.register_initializer(value)
    return model, {str(value.name): value.const_value.numpy() for value in weights if value.const_value is not None}


def by_torch(norm: str, data: Arrays, x: harness.Array) -> Arrays:
    """The squared gradients of the cross-entropy of one sample of class 1."""
    given = {name: torch.tensor(array, requires_grad=name not in FIXED) for name, array in data.items()}
    y, affine = torch.tensor(x) @ given["w"], (given["scale"], given["shift"])
    if norm == "layer":
        h = torch.nn.functional.layer_norm(y, (5,), *affine)
    else:
        h = torch.nn.functional.batch_norm(y, given["mean"], given["variance"], *affine)
    torch.nn.functional.cross_entropy(h @ given["v"], torch.tensor([1])).backward()
    return {name: np.square(one.grad.numpy()) for name, one in given.items() if one.grad is not None}


@pytest.mark.parametrize("norm", NORMS)
def test_a_network_with_a_normalisation(norm: str) -> None:
    model, data = forward(norm)
    session = harness.session(scoring(Differentiate(), model))
    x = np.random.default_rng(4).normal(size=(1, 4)).astype(np.float32)
    fed = {
        **{"x": x, "labels": np.array([1]), "class_mask": np.zeros((1, 3), np.float32)},
        **{"ce_weight": np.ones(1, np.float32), "distill_target": np.zeros((1, 3), np.float32)},
        **{"distill_weight": np.zeros(1, np.float32)},
        **data,
        **{name + SQUARES: np.ones_like(array) for name, array in data.items()},
    }
    names = [one.name for one in session.get_outputs()]
    found = dict(zip(names, session.run(names, {one.name: fed[one.name] for one in session.get_inputs()}), strict=True))
    for name, square in by_torch(norm, data, x).items():
        np.testing.assert_allclose(found[f"{name}{SQUARES}.next"], 1.0 + square, rtol=1e-5, err_msg=name)
