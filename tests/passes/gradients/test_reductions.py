"""Reductions over any axes, Softmax and LogSoftmax, against PyTorch and ONNX Runtime's builder."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.interface.errors import UnsupportedOpsError
from sparcl_compile.passes.importing.differentiable import DIFFERENTIABLE
from tests.support.gradient_rules import FEW, SEEDS, SHAPES, Operator, Reference, by_rule, check, normal, positive, tied

pytestmark = pytest.mark.builder_too

Axes = tuple[int, ...]


def _extreme(largest: bool) -> Reference:
    return lambda x, axes, keep: (torch.amax if largest else torch.amin)(x, axes, keep)


REDUCTIONS: dict[str, Reference] = {
    "ReduceL1": lambda x, axes, keep: x.abs().sum(axes, keep),
    "ReduceL2": lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep),
    "ReduceLogSum": lambda x, axes, keep: x.sum(axes, keep).log(),
    "ReduceLogSumExp": torch.logsumexp,
    "ReduceMax": _extreme(True),
    "ReduceMean": torch.mean,
    "ReduceMin": _extreme(False),
    "ReduceSum": torch.sum,
    "ReduceSumSquare": lambda x, axes, keep: x.square().sum(axes, keep),
}
DRAWS = {"ReduceLogSum": positive, "ReduceMax": tied, "ReduceMin": tied}


def built(name: str, keep: bool) -> bool:
    """Whether the builder has the operator; its ReduceL2 fails over axes counted backwards, and over all."""
    return name in DIFFERENTIABLE and (name != "ReduceL2" or keep)


@st.composite
def chosen(draw: st.DrawFn) -> tuple[tuple[int, ...], Axes]:
    """A shape and some of its axes, counted from either end."""
    shape = draw(SHAPES)
    axes = draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    return shape, tuple(axis - len(shape) if draw(st.booleans()) else axis for axis in sorted(axes))


@pytest.mark.parametrize("name", REDUCTIONS)
def test_over_any_axes(name: str) -> None:
    @FEW
    @given(chosen(), st.booleans(), SEEDS)
    def holds(where: tuple[tuple[int, ...], Axes], keep: bool, seed: int) -> None:
        shape, axes = where
        x = DRAWS.get(name, normal)(*shape, seed=seed)
        tried = Operator(name, [x, np.array(axes, np.int64)], {"keepdims": int(keep)}, fixed=(1,))
        check(tried, lambda x, a: REDUCTIONS[name](x, tuple(a.tolist()), keep), builder=built(name, keep))

    holds()


@pytest.mark.parametrize("name", REDUCTIONS)
def test_over_all_axes_by_default(name: str) -> None:
    x = positive(3, 2, 2)
    check(Operator(name, [x]), lambda x: REDUCTIONS[name](x, (0, 1, 2), True), builder=False)


@pytest.mark.parametrize("name", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceSumSquare"])
def test_over_no_axes_where_none_are_given(name: str) -> None:
    functions: dict[str, Reference] = {"ReduceSumSquare": torch.square}
    tried = Operator(name, [normal(3, 2), np.zeros(0, np.int64)], {"noop_with_empty_axes": 1}, fixed=(1,))
    check(tried, lambda x, _: functions.get(name, torch.clone)(x), builder=False)


def test_the_norm_of_zeros_has_a_gradient_of_zeros() -> None:
    x = normal(3, 4)
    x[1] = 0.0
    tried = Operator("ReduceL2", [x, np.array([1], np.int64)], fixed=(1,))
    check(tried, lambda x, _: torch.linalg.vector_norm(x, 2, 1, True), builder=False)


def test_axes_that_are_computed_are_refused() -> None:
    tried = Operator("ReduceSum", [normal(3, 4), np.array([1], np.int64)])
    with pytest.raises(UnsupportedOpsError, match=r"ReduceSum \(tried\) has axes that are no constant, and cannot"):
        by_rule(tried, {0: normal(3, 1)})


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
def test_rows_along_any_axis(name: str) -> None:
    function = torch.softmax if name == "Softmax" else torch.log_softmax

    @FEW
    @given(SHAPES, SEEDS, st.data())
    def holds(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
        axis = data.draw(st.integers(-len(shape), len(shape) - 1))
        tried = Operator(name, [normal(*shape, seed=seed)], {"axis": axis})
        check(tried, lambda x: function(x, axis))

    holds()


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
def test_rows_along_the_last_axis_by_default(name: str) -> None:
    function = torch.softmax if name == "Softmax" else torch.log_softmax
    check(Operator(name, [normal(3, 2, 4)]), lambda x: function(x, -1))
