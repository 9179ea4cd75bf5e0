"""Conv and ConvTranspose of any geometry, against PyTorch and ONNX Runtime's builder."""

import dataclasses

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sparcl_compile.interface.errors import UnsupportedOpsError
from tests.support.gradient_rules import FEW, SEEDS, Operator, by_rule, check, normal

pytestmark = pytest.mark.builder_too

MORE = settings(FEW, max_examples=25)
CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TURNED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@dataclasses.dataclass(frozen=True)
class Geometry:
    """A convolution over some axes."""

    lengths: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    groups: int
    inner: int
    outer: int
    has_bias: bool

    @property
    def attributes(self) -> dict[str, object]:
        """As ONNX has them."""
        return {
            "kernel_shape": list(self.kernel),
            "strides": list(self.strides),
            "dilations": list(self.dilations),
            "pads": [*self.before, *self.after],
            "group": self.groups,
        }


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Convolutions over one to three axes, each with numbers of its own."""
    axes = draw(st.sampled_from([1, 2, 2, 2, 3]))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    groups = draw(st.sampled_from([1, 1, 2, 3]))
    lengths, kernel, dilations = each(3, 6), each(1, 3), each(1, 2)
    before, after = each(0, 2), each(0, 2)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    assume(all(n + b + a >= r for n, b, a, r in zip(lengths, before, after, reach, strict=True)))
    inner, outer = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    return Geometry(lengths, kernel, each(1, 3), dilations, before, after, groups, inner, outer, draw(st.booleans()))


def convolved(one: Geometry, x: torch.Tensor, w: torch.Tensor, *bias: torch.Tensor) -> torch.Tensor:
    """PyTorch pads both ends alike, so that the zeros are put around the input first."""
    pads = [n for pair in zip(reversed(one.before), reversed(one.after), strict=True) for n in pair]
    place = CONV[len(one.kernel)]
    return place(F.pad(x, pads), w, *bias, stride=one.strides, dilation=one.dilations, groups=one.groups)


@MORE
@given(geometries(), SEEDS)
def test_convolutions(one: Geometry, seed: int) -> None:
    arrays = [
        normal(3, one.groups * one.inner, *one.lengths, seed=seed),
        normal(one.groups * one.outer, one.inner, *one.kernel, seed=seed + 1),
    ]
    if one.has_bias:
        arrays.append(normal(one.groups * one.outer, seed=seed + 2))
    check(Operator("Conv", arrays, one.attributes), lambda *a: convolved(one, *a))


@pytest.mark.parametrize(
    "name", ["plain", "pointwise", "strided pointwise", "depthwise", "multiplied", "many positions"]
)
def test_the_forms_of_the_weight_gradient(name: str) -> None:
    """The shapes by which a form is chosen."""
    shapes = {
        "plain": ((3, 2, 5, 4), (4, 2, 3, 3), 1, [1, 1]),
        "pointwise": ((3, 2, 5, 4), (4, 2, 1, 1), 1, [1, 1]),
        "strided pointwise": ((3, 2, 5, 4), (4, 2, 1, 1), 1, [2, 2]),
        "depthwise": ((3, 4, 5, 4), (4, 1, 3, 3), 4, [1, 1]),
        "multiplied": ((3, 2, 5, 4), (6, 1, 3, 3), 2, [1, 1]),
        "many positions": ((3, 2, 17, 16), (3, 2, 3, 3), 1, [1, 1]),
    }
    x, w, groups, strides = shapes[name]
    tried = Operator("Conv", [normal(*x), normal(*w, seed=1)], {"group": groups, "strides": strides})
    check(tried, lambda x, w: F.conv2d(x, w, stride=strides, groups=groups))


def test_attributes_that_are_left_out() -> None:
    check(Operator("Conv", [normal(3, 2, 5), normal(4, 2, 3, seed=1)]), F.conv1d)


OPEN = {"Conv": {"auto_pad": "SAME_UPPER"}, "ConvTranspose": {"output_shape": [5]}}


@pytest.mark.parametrize("op_type", OPEN)
def test_an_open_padding_is_refused(op_type: str) -> None:
    tried = Operator(op_type, [normal(3, 2, 5), normal(2, 2, 3, seed=1)], OPEN[op_type])
    with pytest.raises(UnsupportedOpsError, match=rf"{op_type} \(tried\) leaves its padding open, and cannot"):
        by_rule(tried, {0: normal(3, 2, 5)})


@MORE
@given(geometries(), SEEDS, st.booleans())
def test_transposed_convolutions(one: Geometry, seed: int, more: bool) -> None:
    """PyTorch takes the same from both ends: the rest is cut off behind it."""
    extra = [min(s, d) - 1 if more else 0 for s, d in zip(one.strides, one.dilations, strict=True)]
    extra = [min(s - 1, 1) if more else 0 for s in one.strides] if not any(extra) else extra
    whole = [
        (n - 1) * s + (k - 1) * d + 1 + e
        for n, s, k, d, e in zip(one.lengths, one.strides, one.kernel, one.dilations, extra, strict=True)
    ]
    assume(all(w > b + a for w, b, a in zip(whole, one.before, one.after, strict=True)))
    arrays = [
        normal(3, one.groups * one.inner, *one.lengths, seed=seed),
        normal(one.groups * one.inner, one.outer, *one.kernel, seed=seed + 1),
    ]
    if one.has_bias:
        arrays.append(normal(one.groups * one.outer, seed=seed + 2))

    def function(x: torch.Tensor, w: torch.Tensor, *bias: torch.Tensor) -> torch.Tensor:
        out = TURNED[len(one.kernel)](x, w, stride=one.strides, dilation=one.dilations, groups=one.groups)
        pads = [n for e in reversed(extra) for n in (0, e)]
        out = F.pad(out, pads)
        for axis, (begin, end) in enumerate(zip(one.before, one.after, strict=True), 2):
            out = out.narrow(axis, begin, out.shape[axis] - begin - end)
        return out + bias[0].reshape(-1, *[1] * len(one.kernel)) if bias else out

    attributes = {**one.attributes, "output_padding": extra}
    check(Operator("ConvTranspose", arrays, attributes), function, builder=False)
