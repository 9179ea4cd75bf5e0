"""Activations with any attributes, against PyTorch and, where it has them, ONNX Runtime's builder."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from sparcl_compile.passes.importing.differentiable import DIFFERENTIABLE
from tests.support.gradient_rules import (
    FEW,
    SEEDS,
    SHAPES,
    Operator,
    Reference,
    broadcast,
    check,
    normal,
    spread,
    tied,
)

pytestmark = pytest.mark.builder_too

ALPHAS = st.floats(0.125, 2.0, width=16)
PLAIN: dict[str, Reference] = {
    "HardSwish": F.hardswish,
    "Mish": F.mish,
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Tanh": torch.tanh,
}
WITH_ALPHA: dict[str, Callable[[float], Reference]] = {
    "Celu": lambda alpha: lambda x: F.celu(x, alpha),
    "Elu": lambda alpha: lambda x: F.elu(x, alpha),
    "HardSigmoid": lambda alpha: lambda x: torch.clamp(alpha * x + 0.5, 0, 1),
    "LeakyRelu": lambda alpha: lambda x: F.leaky_relu(x, alpha),
    "ThresholdedRelu": lambda alpha: lambda x: torch.where(x > alpha, x, 0.0),
}


@pytest.mark.parametrize("name", PLAIN)
def test_without_attributes(name: str) -> None:
    @FEW
    @given(SHAPES, SEEDS, st.floats(0.5, 4.0, width=16))
    def holds(shape: tuple[int, ...], seed: int, wide: float) -> None:
        x = normal(*shape, seed=seed) * np.float32(wide)
        check(Operator(name, [x]), PLAIN[name], builder=name in DIFFERENTIABLE)

    holds()


@pytest.mark.parametrize("name", WITH_ALPHA)
def test_with_any_slope(name: str) -> None:
    @FEW
    @given(SHAPES, SEEDS, ALPHAS)
    def holds(shape: tuple[int, ...], seed: int, alpha: float) -> None:
        x = normal(*shape, seed=seed) * np.float32(2.0)
        check(Operator(name, [x], {"alpha": alpha}), WITH_ALPHA[name](alpha), builder=name in DIFFERENTIABLE)

    holds()


@pytest.mark.parametrize("name", ["Celu", "Elu", "LeakyRelu", "HardSigmoid", "Selu", "ThresholdedRelu"])
def test_the_defaults_are_those_of_the_standard(name: str) -> None:
    functions: dict[str, Reference] = {
        "Celu": F.celu,
        "Elu": F.elu,
        "HardSigmoid": lambda x: torch.clamp(0.2 * x + 0.5, 0, 1),
        "LeakyRelu": F.leaky_relu,
        "Selu": F.selu,
        "ThresholdedRelu": lambda x: torch.where(x > 1.0, x, 0.0),
    }
    check(Operator(name, [spread(3, 15)]), functions[name], builder=False)


@FEW
@given(SHAPES, SEEDS, ALPHAS, ALPHAS)
def test_selu_with_any_constants(shape: tuple[int, ...], seed: int, alpha: float, gamma: float) -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return gamma * torch.where(x > 0, x, alpha * torch.expm1(x))

    check(Operator("Selu", [normal(*shape, seed=seed)], {"alpha": alpha, "gamma": gamma}), function, builder=False)


@FEW
@given(broadcast(), SEEDS)
def test_prelu_with_a_slope_of_any_shape(shapes: list[tuple[int, ...]], seed: int) -> None:
    """The slope is broadcast to the input alone, so that the input has all axes."""
    whole = max(shapes, key=len)
    slope = next((shape for shape in shapes if shape is not whole), whole)[:]
    slope = tuple(1 if axis == len(slope) - len(whole) else n for axis, n in enumerate(slope))
    full = tuple(max(n, m) for n, m in zip(whole, (*[1] * (len(whole) - len(slope)), *slope), strict=True))

    def function(x: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return torch.where(x > 0, x, a * x)

    check(Operator("PRelu", [normal(*full, seed=seed), normal(*slope, seed=seed + 1)]), function, builder=False)


@pytest.mark.parametrize("name", ["Relu", "LeakyRelu", "Elu", "Celu", "Selu", "Softsign"])
def test_at_the_corner(name: str) -> None:
    """At 0 the gradient is PyTorch's."""
    functions: dict[str, Reference] = {
        "Celu": F.celu, "Elu": F.elu, "LeakyRelu": F.leaky_relu, "Relu": torch.relu, "Selu": F.selu,
        "Softsign": F.softsign,
    }  # fmt: skip
    check(Operator(name, [tied(3, 9)]), functions[name], builder=False)


@pytest.mark.parametrize(
    "name", ["Celu", "Elu", "Mish", "Selu", "Sigmoid", "Softplus", "Softsign", "Tanh", "HardSwish"]
)
def test_large_numbers_give_finite_gradients(name: str) -> None:
    functions: dict[str, Reference] = {
        **PLAIN, "Celu": F.celu, "Elu": F.elu, "Selu": F.selu,
    }  # fmt: skip
    x = np.array([[-100.0, -30.0, -1e-6], [1e-6, 30.0, 100.0], [-1e4, 1e4, 20.0]], np.float32)
    check(Operator(name, [x]), functions[name], builder=False)
