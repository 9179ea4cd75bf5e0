"""SparseConvInputGrad and SparseConvWeightGrad against PyTorch's autograd in double precision, and by differences."""

import ctypes
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from tests.runtime.kernels.cases import cases
from tests.runtime.kernels.sparse import (
    LARGE,
    PADDING,
    Array,
    Case,
    Weight,
    assert_close,
    normal,
    random_weight,
    run,
    to_chwn,
    to_nchw,
)


def tensors(case: Case) -> tuple[Weight, Array, Array]:
    x = normal((case.channels, case.height, case.width, case.batch), case.seed)
    return random_weight(case), x, normal((case.outputs, *case.out(), case.batch), case.seed + 2)


def input_gradient(
    case: Case, weight: Weight, dy: Array, threads: int = 2, addend: Array | None = None, **changed: Any
) -> Array:
    feeds = {"dy": dy, "values": weight.values, "index": weight.index, "rows": weight.rows}
    feeds |= {} if addend is None else {"addend": addend}
    attributes = {"channels": case.channels, "input_shape": [case.height, case.width], **case.attributes, **changed}
    return run("SparseConvInputGrad", feeds, ["dx"], threads, **attributes)[0]


def weight_gradient(
    case: Case, weight: Weight, x: Array, dy: Array, mask: Array | None = None, threads: int = 2
) -> Array:
    feeds = {"x": x, "dy": dy, "index": weight.index, "rows": weight.rows}
    feeds |= {} if mask is None else {"mask": mask}
    return run("SparseConvWeightGrad", feeds, ["dvalues"], threads, channels=case.channels, **case.attributes)[0]


def convolve(case: Case, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    top, left, bottom, right = case.pads
    padded = torch.nn.functional.pad(x, (left, right, top, bottom))
    return torch.nn.functional.conv2d(padded, w, stride=case.strides, dilation=case.dilations)


def expected(case: Case, weight: Weight, x: Array, dy: Array) -> tuple[Array, Array]:
    """The gradients of x, and of the stored values with zeros at the padding."""
    leaves = [torch.tensor(to_nchw(x)).double().requires_grad_(), torch.tensor(weight.dense).double().requires_grad_()]
    convolve(case, *leaves).backward(torch.tensor(to_nchw(dy)).double())
    dx, dw = (leaf.grad.numpy() for leaf in leaves if leaf.grad is not None)
    return to_chwn(dx), np.concatenate([dw.ravel()[weight.index[: weight.live]], np.zeros(PADDING)])


@settings(max_examples=120, deadline=None)
@given(case=cases())
def test_equal_autograd(case: Case) -> None:
    weight, x, dy = tensors(case)
    dx, dvalues = expected(case, weight, x, dy)
    assert_close(input_gradient(case, weight, dy), dx)
    assert_close(weight_gradient(case, weight, x, dy), dvalues)


@pytest.mark.parametrize(
    "case", [Case(32, 40, 70, 16, 16), Case(32, 96, 200, 4, 4), Case(16, 24, 24, 33, 35, strides=(2, 2)), LARGE]
)
def test_several_blocks_and_chunks(case: Case) -> None:
    weight, x, dy = tensors(case)
    dx, dvalues = expected(case, weight, x, dy)
    assert_close(input_gradient(case, weight, dy), dx)
    assert_close(weight_gradient(case, weight, x, dy), dvalues)


@settings(max_examples=40, deadline=None)
@given(case=cases())
def test_the_mask_chooses_what_is_computed(case: Case) -> None:
    weight, x, dy = tensors(case)
    mask = (np.random.default_rng(case.seed).random(len(weight.values)) < 0.3).astype(np.float32)
    mask[weight.live :] = 1  # a mask over padding chooses nothing
    assert_close(weight_gradient(case, weight, x, dy, mask), expected(case, weight, x, dy)[1] * mask)


def test_the_weight_gradient_is_the_slope_of_the_loss() -> None:
    case = Case(8, 3, 4, 5, 6, strides=(2, 1), density=0.5)
    weight, x, dy = tensors(case)
    gradient = weight_gradient(case, weight, x, dy)
    feeds = {"x": x, "index": weight.index, "rows": weight.rows}

    def loss(values: Array) -> float:
        named = {"x": x, "values": values, "index": feeds["index"], "rows": feeds["rows"]}
        y = run("SparseConv", named, ["y"], channels=case.channels, **case.attributes)[0]
        return float((y.astype(np.float64) * dy).sum())

    # The loss is linear in the values, so a wide step costs nothing and keeps float32's rounding small.
    for place in range(0, weight.live, 5):
        step = np.zeros_like(weight.values)
        step[place] = 4.0
        slope = (loss(weight.values + step) - loss(weight.values - step)) / 8.0
        assert slope == pytest.approx(float(gradient[place]), rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("case", [Case(32, 48, 64, 16, 16), LARGE])
def test_the_number_of_threads_changes_no_bit(case: Case, threads: int) -> None:
    weight, x, dy = tensors(case)
    assert np.array_equal(input_gradient(case, weight, dy, 2), input_gradient(case, weight, dy, threads))
    both = (weight_gradient(case, weight, x, dy, None, count) for count in (2, threads))
    assert np.array_equal(*both)


CASE = Case(16, 4, 6, 5, 5)


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_an_addend_is_where_the_sums_start(case: Case) -> None:
    weight, x, dy = tensors(case)
    addend = normal(x.shape, case.seed + 3)
    assert_close(input_gradient(case, weight, dy, addend=addend), expected(case, weight, x, dy)[0] + addend)


def test_an_addend_of_another_shape_is_refused() -> None:
    weight, x, dy = tensors(CASE)
    with pytest.raises(Exception, match=r"SparseConvInputGrad: addend is \[4, 5, 4, 16\], not \[4, 5, 5, 16\]"):
        input_gradient(CASE, weight, dy, addend=x[:, :, 1:])


def test_a_gradient_of_another_shape_is_refused() -> None:
    weight, x, dy = tensors(CASE)
    with pytest.raises(Exception, match=r"SparseConvInputGrad: dy is \[6, 4, 5, 16\], not \[6, 5, 5, batch\]"):
        input_gradient(CASE, weight, dy[:, 1:])
    with pytest.raises(Exception, match=r"SparseConvWeightGrad: dy is \[5, 5, 5, 16\], not \[6, 5, 5, batch\]"):
        weight_gradient(CASE, weight, x, dy[1:])
    with pytest.raises(Exception, match=r"SparseConvWeightGrad: the batch of x \[4, 5, 5, 16\] is not that of dy"):
        weight_gradient(CASE, weight, x, dy[..., 1:])


def test_another_number_of_channels_is_refused() -> None:
    weight, x, dy = tensors(CASE)
    with pytest.raises(Exception, match="SparseConvWeightGrad: x has 3 channels, the attribute channels says 4"):
        weight_gradient(CASE, weight, x[1:], dy)


def test_a_mask_of_another_length_is_refused() -> None:
    weight, x, dy = tensors(CASE)
    with pytest.raises(Exception, match=r"SparseConvWeightGrad: mask has 2 numbers for \d+ stored places"):
        weight_gradient(CASE, weight, x, dy, np.ones(2, dtype=np.float32))


def test_a_wrong_index_is_refused() -> None:
    weight, x, dy = tensors(CASE)
    wrong = Weight(weight.dense, weight.values, weight.index + 1000, weight.rows)
    with pytest.raises(Exception, match=r"SparseConvInputGrad: index\[0\] is \d+: output channel 0"):
        input_gradient(CASE, wrong, dy)
    with pytest.raises(Exception, match=r"SparseConvWeightGrad: index\[0\] is \d+: output channel 0"):
        weight_gradient(CASE, wrong, x, dy, np.zeros(len(weight.values), dtype=np.float32))


def test_an_input_shape_is_needed() -> None:
    weight, _, dy = tensors(CASE)
    with pytest.raises(Exception, match="SparseConvInputGrad: attribute input_shape is missing or not positive"):
        input_gradient(CASE, weight, dy, input_shape=[0, 5])


TILES = [Case(32, 13, 10, rows, cols, density=0.4) for rows in (1, 2, 3, 4, 6, 9) for cols in (1, 3, 4, 9)]
"""Whole tiles of the weight gradient and what is left at their edges."""


@pytest.mark.parametrize("name", [b"AVX3", b"AVX2", b"SCALAR", b"EMU128", b"SSE2", b"NEON"])
def test_whole_tiles_and_edges_of_every_instruction_set(loaded: ctypes.CDLL, name: bytes) -> None:
    if not loaded.SparclUseTarget(name):
        pytest.skip(f"{name.decode()} is not in this build or processor")
    for case in [*TILES, Case(48, 9, 10, 12, 10, strides=(2, 2)), Case(8, 30, 30, 9, 7), Case(11, 9, 10, 5, 6)]:
        weight, x, dy = tensors(case)
        found = weight_gradient(case, weight, x, dy)
        assert_close(found, expected(case, weight, x, dy)[1])
        mask = (normal(found.shape, case.seed + 3) > 0).astype(np.float32)
        assert_close(weight_gradient(case, weight, x, dy, mask), np.where(mask != 0, found, 0))
