"""Operators on one or two tensors, broadcast in every way, against PyTorch and ONNX Runtime's builder."""

import functools
import operator as op
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.passes.importing.differentiable import DIFFERENTIABLE
from tests.support.gradient_rules import (
    FEW,
    SEEDS,
    SHAPES,
    Operator,
    Reference,
    batch_of,
    broadcast,
    check,
    normal,
    positive,
    spread,
    tied,
)

pytestmark = pytest.mark.builder_too

Draw = Callable[..., np.ndarray]
BINARY: dict[str, tuple[Reference, Draw]] = {
    "Add": (op.add, normal),
    "Div": (op.truediv, positive),
    "Max": (torch.maximum, tied),
    "Min": (torch.minimum, tied),
    "Mul": (op.mul, normal),
    "Pow": (op.pow, positive),
    "Sub": (op.sub, normal),
}
UNARY: dict[str, tuple[Reference, Draw]] = {
    "Abs": (torch.abs, tied),
    "Cos": (torch.cos, normal),
    "Erf": (torch.erf, normal),
    "Exp": (torch.exp, normal),
    "Identity": (torch.clone, normal),
    "Log": (torch.log, positive),
    "Neg": (torch.neg, normal),
    "Reciprocal": (torch.reciprocal, positive),
    "Sin": (torch.sin, normal),
    "Sqrt": (torch.sqrt, positive),
}
SHARED_TIES = ("Max", "Min")
"""The builder gives all of a tie to every one of the equal elements."""


def built(name: str) -> bool:
    """Whether ONNX Runtime's builder has the operator and agrees on where there is a corner."""
    return name in DIFFERENTIABLE and name not in SHARED_TIES and name != "Pow"


@pytest.mark.parametrize("name", BINARY)
def test_two_tensors_of_any_shapes(name: str) -> None:
    function, draw = BINARY[name]

    @FEW
    @given(broadcast(), SEEDS)
    def holds(shapes: list[tuple[int, ...]], seed: int) -> None:
        arrays = [draw(*shape, seed=seed + number) for number, shape in enumerate(shapes)]
        check(Operator(name, arrays, batch=batch_of(shapes)), function, builder=built(name))

    holds()


@pytest.mark.parametrize("name", UNARY)
def test_one_tensor(name: str) -> None:
    function, draw = UNARY[name]

    @FEW
    @given(SHAPES, SEEDS)
    def holds(shape: tuple[int, ...], seed: int) -> None:
        check(Operator(name, [draw(*shape, seed=seed)]), function, builder=name in DIFFERENTIABLE)

    holds()


@FEW
@given(broadcast(3), SEEDS, st.sampled_from(["Sum", "Mean", "Max", "Min"]))
def test_several_tensors(shapes: list[tuple[int, ...]], seed: int, name: str) -> None:
    together: dict[str, Reference] = {
        "Sum": lambda *a: functools.reduce(op.add, a),
        "Mean": lambda *a: functools.reduce(op.add, a) / len(a),
        "Max": lambda *a: functools.reduce(torch.maximum, a),
        "Min": lambda *a: functools.reduce(torch.minimum, a),
    }
    arrays = [normal(*shape, seed=seed + number) for number, shape in enumerate(shapes)]
    check(Operator(name, arrays, batch=batch_of(shapes)), together[name], builder=False)


def test_a_sum_of_one() -> None:
    check(Operator("Sum", [normal(3, 2)]), torch.clone, builder=False)


@FEW
@given(broadcast(), SEEDS)
def test_where_of_any_shapes(shapes: list[tuple[int, ...]], seed: int) -> None:
    rank = max(map(len, shapes))
    whole = next(shape for shape in shapes if len(shape) == rank)
    condition = np.asarray(normal(*whole[1:], seed=seed) > 0)
    arrays = [condition, *(normal(*shape, seed=seed + number) for number, shape in enumerate(shapes, 1))]
    batch = {number + 1: axis for number, axis in batch_of(shapes).items()}
    check(Operator("Where", arrays, batch=batch), torch.where, builder=False)


@pytest.mark.parametrize("exponent", [2.0, 3.0, 0.5, -1.0])
def test_a_power_of_a_constant(exponent: float) -> None:
    arrays = [positive(3, 4), np.array(exponent, np.float32)]
    check(Operator("Pow", arrays, fixed=(1,)), op.pow)


@pytest.mark.parametrize("kind", [np.int32, np.int64])
@pytest.mark.parametrize("exponent", [2, 3])
def test_a_power_of_a_whole_number(exponent: int, kind: type) -> None:
    check(Operator("Pow", [tied(3, 4), np.array(exponent, kind)], fixed=(1,)), op.pow, builder=False)


def test_the_square_of_a_negative_number() -> None:
    check(Operator("Pow", [tied(3, 4), np.array(2.0, np.float32)], fixed=(1,)), op.pow)


def test_a_power_of_zero() -> None:
    """The gradient of the exponent is 0 where the base is 0, as PyTorch has it."""
    check(Operator("Pow", [np.zeros((3, 2), np.float32), np.array([2.0, 3.0], np.float32)]), op.pow, builder=False)


@pytest.mark.parametrize(
    ("low", "high"), [(-0.5, 0.5), (None, 0.5), (-0.5, None), (None, None)], ids=["both", "upper", "lower", "none"]
)
def test_clip_passes_its_bounds(low: float | None, high: float | None) -> None:
    bounds = [None if one is None else np.array(one, np.float32) for one in (low, high)]
    fixed = tuple(n for n, one in enumerate(bounds, 1) if one is not None)

    def clipped(x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return x.clone() if low is None and high is None else torch.clamp(x, low, high)

    check(Operator("Clip", [tied(3, 7), *bounds], fixed=fixed), clipped, builder=False)
    check(Operator("Clip", [spread(3, 7), *bounds], fixed=fixed), clipped, builder=low is not None and high is not None)


def test_cast_to_itself() -> None:
    check(Operator("Cast", [normal(3, 2)], {"to": 1}), torch.clone, builder=False)
