"""BatchNormalization in training form and LayerNormalization over any axes, against PyTorch and the builder."""

import math

import numpy as np
import onnxruntime as ort
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.interface.errors import PassOrderError, UnsupportedOpsError
from tests.support.gradient_rules import FEW, LENGTHS, SEEDS, Operator, by_rule, check, normal, positive

pytestmark = pytest.mark.builder_too

EPSILONS = st.sampled_from([1e-5, 1e-3, 0.1])


def batch_norm(shape: tuple[int, ...], seed: int, epsilon: float) -> Operator:
    """BatchNormalization as ``save_batch_statistics`` leaves it: it gives the batch's own statistics."""
    channels = shape[1]
    zeros = np.zeros(channels, np.float32)
    return Operator(
        "BatchNormalization",
        [normal(*shape, seed=seed), positive(channels, seed=seed + 1), normal(channels, seed=seed + 2), zeros, zeros],
        {"training_mode": 1, "momentum": 0.0, "epsilon": epsilon},
        fixed=(3, 4),
        outputs=3,
    )


@FEW
@given(st.lists(LENGTHS, min_size=1, max_size=3), SEEDS, EPSILONS)
def test_batch_normalisation(lengths: list[int], seed: int, epsilon: float) -> None:
    """Over vectors, sequences and planes; PyTorch refuses one value a channel, which the batch of 3 excludes."""

    def function(x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.batch_norm(x, None, None, scale, shift, True, 0.0, epsilon)

    check(batch_norm((3, *lengths), seed, epsilon), function, builder=False)


def test_a_channel_far_from_zero() -> None:
    tried = batch_norm((3, 2, 8, 8), 0, 1e-5)
    inputs = [tried.inputs[0] + np.float32(50.0), *tried.inputs[1:]]  # type: ignore[operator]
    far = Operator(tried.op_type, inputs, tried.attributes, tried.fixed, outputs=3)

    def function(x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.batch_norm(x, None, None, scale, shift, True, 0.0, 1e-5)

    check(far, function, builder=False)


@st.composite
def rows(draw: st.DrawFn) -> tuple[tuple[int, ...], int]:
    """A shape and the first of its axes that are normalised, counted from either end."""
    shape = (3, *draw(st.lists(LENGTHS, min_size=1, max_size=3)))
    first = draw(st.integers(1, len(shape) - 1))
    return shape, first - len(shape) if draw(st.booleans()) else first


@FEW
@given(rows(), st.booleans(), SEEDS, EPSILONS)
def test_layer_normalisation(where: tuple[tuple[int, ...], int], has_bias: bool, seed: int, epsilon: float) -> None:
    shape, axis = where
    inner = shape[axis:]
    arrays = [normal(*shape, seed=seed), normal(*inner, seed=seed + 1)]
    if has_bias:
        arrays.append(normal(*inner, seed=seed + 2))

    def function(x: torch.Tensor, scale: torch.Tensor, *bias: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.layer_norm(x, inner, scale, *bias, eps=epsilon)

    tried = Operator("LayerNormalization", arrays, {"axis": axis, "epsilon": epsilon}, outputs=3)
    # The builder refuses rows of one element.
    check(tried, function, builder=has_bias and math.prod(inner) > 1)


@pytest.mark.skipif(ort.__version__.startswith("1.19."), reason="ONNX Runtime 1.19 takes no scale that is broadcast")
@pytest.mark.parametrize(("scale", "bias"), [((4, 1, 1), (6,)), ((1, 6), (4, 5, 6)), ((1,), (1, 5, 1)), ((6,), (1, 1))])
def test_a_layer_normalisation_whose_scale_and_shift_are_broadcast(scale: list[int], bias: list[int]) -> None:
    def function(x: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.layer_norm(x, (4, 5, 6)) * a + b

    arrays = [normal(3, 4, 5, 6), normal(*scale, seed=1), normal(*bias, seed=2)]
    check(Operator("LayerNormalization", arrays, {"axis": 1}, outputs=3), function, builder=False)


def test_a_layer_normalisation_without_its_statistics_is_refused() -> None:
    tried = Operator("LayerNormalization", [normal(3, 4), normal(4)])
    with pytest.raises(UnsupportedOpsError, match=r"lacks the outputs of its mean and its deviation, and cannot"):
        by_rule(tried, {0: normal(3, 4)})


def test_a_batch_normalisation_of_other_statistics_is_refused() -> None:
    """In inference form, or with a momentum, the second and third output are not the batch's own statistics."""
    tried = batch_norm((3, 2, 4), 0, 1e-5)
    forms = {"save_batch_statistics": {"momentum": 0.9}, "fold_fixed_norms": {"training_mode": 0}}
    for wanted, changed in forms.items():
        outputs = 1 if "training_mode" in changed else 3
        wrong = Operator(tried.op_type, tried.inputs, {**tried.attributes, **changed}, tried.fixed, outputs=outputs)
        with pytest.raises(PassOrderError, match=rf"has no gradient as it stands: run {wanted} before$"):
            by_rule(wrong, {0: normal(3, 2, 4)})
