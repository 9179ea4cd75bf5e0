"""The reference of the sparse operators against PyTorch, forward and gradients."""

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from tests.support.kernels_reference import KERNELS

Array = np.ndarray[Any, Any]
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
"""The reference sums in float64, and so does PyTorch here: what is left is one rounding to float32."""


def run(op_type: str, inputs: dict[str, Array | None], outputs: int, **attributes: Any) -> list[Array]:
    """One operator by the evaluator; an input of None is left out."""
    names = [name if value is not None else "" for name, value in inputs.items()]
    given_inputs = {name: value for name, value in inputs.items() if value is not None}
    results = [f"out{number}" for number in range(outputs)]
    node = helper.make_node(op_type, names, results, domain="sparcl", **attributes)
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), None)
        for name, value in given_inputs.items()
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in results]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("sparcl", 1)]
    model = helper.make_model(helper.make_graph([node], "one", infos, ends), opset_imports=opsets)
    assert isinstance(model, onnx.ModelProto)
    return list(ReferenceEvaluator(model, new_ops=KERNELS).run(None, given_inputs))


def batch_first(x: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x.transpose(3, 0, 1, 2)).astype(np.float64))


def batch_last(x: torch.Tensor | None) -> Array:
    assert x is not None
    return x.detach().numpy().transpose(1, 2, 3, 0)


def compressed(weight: Array, padding: int) -> tuple[Array, Array, Array]:
    """Values, index and rows of a dense weight with zeros, and places of padding behind."""
    flat = weight.reshape(-1)
    index = np.flatnonzero(flat)
    rows = np.searchsorted(index, np.arange(weight.shape[0] + 1) * weight[0].size)
    blank = np.zeros(padding)
    values = np.concatenate([flat[index], blank]).astype(np.float32)
    return values, np.concatenate([index, blank]).astype(np.int32), rows.astype(np.int32)


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(pairs, pairs, st.tuples(*[st.integers(0, 2)] * 2), pairs, st.sampled_from([0.0, 0.3, 1.0]), st.booleans())
def test_sparse_convolution_and_its_gradients(
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int],
    dilations: tuple[int, int],
    density: float,
    biased: bool,
) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 8, 9, 3)).astype(np.float32)
    weight = (rng.normal(size=(4, 2, *kernel)) * (rng.random(size=(4, 2, *kernel)) < density)).astype(np.float32)
    bias = rng.normal(size=4).astype(np.float32) if biased else None
    values, index, rows = compressed(weight, padding=2)
    attributes = {"kernel_shape": kernel, "strides": strides, "dilations": dilations, "channels": 2}
    attributes["pads"] = [*pads, *pads]
    place = {"index": index, "rows": rows}
    (y,) = run("SparseConv", {"x": x, "values": values, **place, "bias": bias}, 1, **attributes)

    there, kept = batch_first(x).requires_grad_(), torch.from_numpy(weight.astype(np.float64)).requires_grad_()
    shift = None if bias is None else torch.from_numpy(bias.astype(np.float64))
    expected = torch.nn.functional.conv2d(there, kept, shift, strides, pads, dilations)
    np.testing.assert_allclose(y, batch_last(expected), **CLOSE)

    dy = rng.normal(size=y.shape).astype(np.float32)
    expected.backward(batch_first(dy))
    inputs = {"dy": dy, "values": values, **place}
    (dx,) = run("SparseConvInputGrad", inputs, 1, input_shape=[8, 9], **attributes)
    np.testing.assert_allclose(dx, batch_last(there.grad), **CLOSE)

    live = int(rows[-1])
    mask = (np.arange(len(index)) % 2).astype(np.float32)
    assert kept.grad is not None
    wanted = np.concatenate([kept.grad.numpy().reshape(-1)[index[:live]], [0.0, 0.0]])
    for given_mask, gradient in ((None, wanted), (mask, wanted * mask)):
        (dvalues,) = run("SparseConvWeightGrad", {"x": x, "dy": dy, **place, "mask": given_mask}, 1, **attributes)
        np.testing.assert_allclose(dvalues, gradient, rtol=1e-5, atol=1e-4)  # sums of hundreds of products


def test_borders_may_differ_from_side_to_side() -> None:
    weight = np.ones((1, 1, 2, 2), np.float32)
    values, index, rows = compressed(weight, padding=0)
    inputs = {"x": np.ones((1, 2, 2, 1), np.float32), "values": values, "index": index, "rows": rows}
    geometry = {"kernel_shape": [2, 2], "strides": [1, 1], "dilations": [1, 1], "channels": 1}
    (y,) = run("SparseConv", inputs, 1, pads=[1, 0, 0, 1], **geometry)
    assert y[0, :, :, 0].tolist() == [[2.0, 1.0], [4.0, 2.0]]


@pytest.mark.parametrize("relu", [0, 1])
@pytest.mark.parametrize("added", [False, True])
def test_batch_normalisation_and_its_gradients(relu: int, added: bool) -> None:
    rng = np.random.default_rng(1)
    x, dy, other = (rng.normal(size=(4, 3, 2, 5)).astype(np.float32) for _ in range(3))
    scale, bias, mean = (rng.normal(size=4).astype(np.float32) for _ in range(3))
    var = rng.random(4).astype(np.float32)
    addend = other if added else None
    inputs = {"x": x, "scale": scale, "bias": bias, "addend": addend, "mean": mean, "var": var}
    y, next_mean, next_var, saved_mean, saved_inv_std = run(
        "BatchNormTraining", inputs, 5, epsilon=1e-3, momentum=0.75, relu=relu
    )

    there, beside = batch_first(x).requires_grad_(), batch_first(other).requires_grad_()
    slope, shift, old_mean, old_var = (
        torch.from_numpy(part.astype(np.float64)).requires_grad_(part is scale or part is bias)
        for part in (scale, bias, mean, var)
    )
    biased_var = old_var.clone()
    out = torch.nn.functional.batch_norm(there, old_mean, old_var, slope, shift, True, 0.25, 1e-3)
    out = out + beside if added else out
    out = torch.relu(out) if relu else out
    np.testing.assert_allclose(y, batch_last(out), **CLOSE)
    np.testing.assert_allclose(next_mean, old_mean.numpy(), **CLOSE)
    # ONNX keeps the population's variance, PyTorch the sample's.
    population = biased_var.numpy() * 0.75 + 0.25 * x.astype(np.float64).var(axis=(1, 2, 3))
    np.testing.assert_allclose(next_var, population, **CLOSE)

    out.backward(batch_first(dy))
    inputs = {"dy": dy, "x": x, "scale": scale, "saved_mean": saved_mean, "saved_inv_std": saved_inv_std}
    inputs["y"] = y if relu else None
    dx, dscale, dbias, daddend = run("BatchNormGrad", inputs, 4, relu=relu)
    np.testing.assert_allclose(dx, batch_last(there.grad), **CLOSE)
    assert slope.grad is not None
    assert shift.grad is not None
    np.testing.assert_allclose(dscale, slope.grad.numpy(), **CLOSE)
    np.testing.assert_allclose(dbias, shift.grad.numpy(), **CLOSE)
    if added:
        np.testing.assert_allclose(daddend, batch_last(beside.grad), **CLOSE)
    assert run("BatchNormGrad", inputs, 3, relu=relu)[0].tolist() == dx.tolist()


@pytest.mark.parametrize("relu", [0, 1])
def test_a_normalisation_from_its_factor_and_offset(relu: int) -> None:
    rng = np.random.default_rng(1)
    x, addend = (rng.normal(size=(4, 3, 2, 5)).astype(np.float32) for _ in range(2))
    scale, bias, mean = (rng.normal(size=4).astype(np.float32) for _ in range(3))
    inputs = {"x": x, "scale": scale, "bias": bias, "addend": addend, "mean": mean, "var": mean * mean}
    y, _, _, saved_mean, inv_std = run("BatchNormTraining", inputs, 5, epsilon=1e-3, momentum=0.75, relu=relu)
    factor = scale * inv_std
    again = {"x": x, "factor": factor, "offset": bias - saved_mean * factor, "addend": addend}
    np.testing.assert_allclose(run("BatchNormApply", again, 1, relu=relu)[0], y, **CLOSE)
