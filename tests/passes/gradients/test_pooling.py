"""Pools of any geometry, with ties and overlapping windows, against PyTorch and ONNX Runtime's builder."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sparcl_compile.interface.errors import UnsupportedOpsError
from tests.support.gradient_rules import (
    FEW,
    SEEDS,
    Operator,
    by_rule,
    check,
    directions,
    normal,
    run,
    spread,
    tied,
    values,
)

pytestmark = pytest.mark.builder_too

MORE = settings(FEW, max_examples=25)
MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


@dataclasses.dataclass(frozen=True)
class Geometry:
    """A pool over some axes."""

    lengths: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    ceil: bool

    @property
    def leaves_the_input(self) -> bool:
        """Whether a last window lies wholly behind the input, where runtimes differ."""
        parts = zip(self.lengths, self.kernel, self.strides, self.before, self.after, strict=True)
        return any((-(-(n + b + a - k) // s)) * s >= n + b for n, k, s, b, a in parts)

    @property
    def attributes(self) -> dict[str, object]:
        """As ONNX has them."""
        return {
            "kernel_shape": list(self.kernel),
            "strides": list(self.strides),
            "dilations": list(self.dilations),
            "pads": [*self.before, *self.after],
            "ceil_mode": int(self.ceil),
        }


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Pools over one to three axes, each with numbers of its own; a pad is shorter than the kernel's half."""
    axes = draw(st.sampled_from([1, 2, 2, 3]))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    lengths, kernel, dilations = each(4, 7), each(1, 3), each(1, 2)
    before, after = (tuple(draw(st.integers(0, k // 2)) for k in kernel) for _ in range(2))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    assume(all(n + b + a >= r for n, b, a, r in zip(lengths, before, after, reach, strict=True)))
    return Geometry(lengths, kernel, each(1, 3), dilations, before, after, draw(st.booleans()))


def padded(one: Geometry, x: torch.Tensor, value: float) -> torch.Tensor:
    """The input with its margins, which PyTorch would have alike at both ends."""
    pads = [n for pair in zip(reversed(one.before), reversed(one.after), strict=True) for n in pair]
    return F.pad(x, pads, value=value)


@MORE
@given(geometries(), SEEDS)
def test_max_pools(one: Geometry, seed: int) -> None:
    """Of equal elements the first gets the gradient, as PyTorch and the builder have it."""
    one = dataclasses.replace(one, ceil=False)

    def function(x: torch.Tensor) -> torch.Tensor:
        return MAX[len(one.kernel)](padded(one, x, -1e9), one.kernel, one.strides, dilation=one.dilations)

    check(Operator("MaxPool", [tied(3, 2, *one.lengths, seed=seed)], one.attributes), function)


@pytest.mark.parametrize("length", [5, 6, 7])
def test_max_pools_whose_last_window_reaches_past_the_end(length: int) -> None:
    tried = Operator("MaxPool", [spread(3, 2, length)], {"kernel_shape": [3], "strides": [2], "ceil_mode": 1})
    check(tried, lambda x: F.max_pool1d(x, 3, 2, ceil_mode=True))


def test_max_pools_that_give_their_places() -> None:
    tried = Operator("MaxPool", [spread(3, 2, 6)], {"kernel_shape": [2], "strides": [2]}, outputs=2)
    check(tried, lambda x: F.max_pool1d(x, 2, 2), builder=False)


def test_a_window_of_nan_writes_nowhere_else() -> None:
    x = spread(3, 2, 4)
    x[0, 0, :2] = np.nan
    tried = Operator("MaxPool", [x], {"kernel_shape": [2], "strides": [2]})
    (got,) = by_rule(tried, {0: normal(3, 2, 2)})
    assert got.shape == x.shape
    assert np.isfinite(got[1:]).all()


def test_places_by_columns_are_refused() -> None:
    tried = Operator("MaxPool", [normal(3, 2, 4, 4)], {"kernel_shape": [2, 2], "storage_order": 1}, outputs=2)
    with pytest.raises(UnsupportedOpsError, match=r"MaxPool \(tried\) counts its places by columns, and cannot"):
        by_rule(tried, {0: normal(3, 2, 3, 3)})


@MORE
@given(geometries(), st.booleans(), SEEDS)
def test_average_pools(one: Geometry, include: bool, seed: int) -> None:
    """A linear operator: <dy, A x> = <A' dy, x> for the runtime's own forward pass, whatever it counts."""
    assume(not (one.ceil and (include or one.leaves_the_input)))
    attributes = {**one.attributes, "count_include_pad": int(include)}
    del attributes["dilations"]
    tried = Operator("AveragePool", [normal(3, 2, *one.lengths, seed=seed)], attributes)
    (y,) = values(tried)
    along = directions(tried, [y], seed)
    (gradient,) = by_rule(tried, along)
    for number in range(2):
        x = normal(3, 2, *one.lengths, seed=seed + number)
        (made,) = run(tried.forward(), {"i0": x}, ["o0"])
        assert np.vdot(along[0], made) == pytest.approx(np.vdot(gradient, x), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize("pads", [0, 1])
def test_average_pools_against_pytorch(include: bool, pads: int) -> None:
    attributes = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [pads] * 4, "count_include_pad": int(include)}
    tried = Operator("AveragePool", [normal(3, 2, 6, 5)], attributes)
    check(tried, lambda x: F.avg_pool2d(x, (3, 2), (2, 1), pads, count_include_pad=include), builder=False)


def test_an_open_padding_is_refused() -> None:
    tried = Operator("AveragePool", [normal(3, 2, 5)], {"kernel_shape": [2], "auto_pad": "SAME_UPPER"})
    with pytest.raises(UnsupportedOpsError, match=r"AveragePool \(tried\) leaves its padding open, and cannot"):
        by_rule(tried, {0: normal(3, 2, 5)})


def test_a_padding_that_versions_of_the_runtime_count_differently_is_refused() -> None:
    attributes = {"kernel_shape": [2], "strides": [3], "ceil_mode": 1, "count_include_pad": 1}
    with pytest.raises(
        UnsupportedOpsError, match=r"AveragePool \(tried\) counts what lies behind its padding, and cannot"
    ):
        by_rule(Operator("AveragePool", [normal(3, 2, 4)], attributes), {0: normal(3, 2, 2)})


def test_a_window_behind_the_input_is_refused() -> None:
    tried = Operator("AveragePool", [normal(3, 2, 4)], {"kernel_shape": [1], "strides": [2], "ceil_mode": 1})
    with pytest.raises(
        UnsupportedOpsError, match=r"AveragePool \(tried\) has a window outside of its input, and cannot"
    ):
        by_rule(tried, {0: normal(3, 2, 3)})


@pytest.mark.parametrize("lengths", [(5,), (2, 3), (2, 3, 2)])
def test_global_pools(lengths: tuple[int, ...]) -> None:
    axes = tuple(range(2, 2 + len(lengths)))
    check(Operator("GlobalAveragePool", [normal(3, 2, *lengths)]), lambda x: x.mean(axes, True))
    check(Operator("GlobalMaxPool", [spread(3, 2, *lengths)]), lambda x: x.amax(axes, True), builder=False)


def test_a_global_maximum_that_is_tied_goes_to_the_first() -> None:
    (got,) = by_rule(
        Operator("GlobalMaxPool", [np.ones((3, 1, 2, 2), np.float32)]), {0: np.ones((3, 1, 1, 1), np.float32)}
    )
    assert got.reshape(3, 4).tolist() == [[1.0, 0.0, 0.0, 0.0]] * 3
