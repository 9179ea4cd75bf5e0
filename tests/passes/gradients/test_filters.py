"""Every form of a convolution's weight gradient, against PyTorch; which one is written is test_filter_costs.py's."""

import dataclasses
import math

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.passes.gradients.filter_choice import graph_of
from sparcl_compile.passes.gradients.filter_costs import COUNTS, Layer
from sparcl_compile.passes.gradients.filters import FORMS
from sparcl_compile.passes.gradients.window import Window
from tests.passes.gradients.test_convolutions import MORE, Geometry, convolved, geometries
from tests.support.gradient_rules import SEEDS, TOLERANCE, normal

SAMPLES = 3


def layer_of(one: Geometry) -> Layer:
    """The geometry as the forms have it."""
    padded = [n + b + a for n, b, a in zip(one.lengths, one.before, one.after, strict=True)]
    reach = [(k - 1) * d + 1 for k, d in zip(one.kernel, one.dilations, strict=True)]
    outputs = tuple((n - r) // s + 1 for n, r, s in zip(padded, reach, one.strides, strict=True))
    sizes = (one.kernel, one.strides, one.dilations, one.before, one.after)
    return Layer(Window(*sizes, groups=one.groups, inputs=one.lengths, outputs=outputs), one.inner, one.outer)


def written(one: Geometry, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By form that can be written its gradient and PyTorch's."""
    layer = layer_of(one)
    x = normal(SAMPLES, one.groups * one.inner, *one.lengths, seed=seed)
    weight = torch.from_numpy(normal(layer.filters, one.inner, *one.kernel, seed=seed + 1)).requires_grad_()
    y = convolved(one, torch.from_numpy(x), weight)
    dy = normal(*y.shape, seed=seed + 2)
    y.backward(torch.from_numpy(dy))
    assert weight.grad is not None
    wanted = weight.grad.numpy()
    feeds = {"x": x, "dy": dy, "w": np.zeros_like(wanted)}
    forms = [form for form, count in COUNTS.items() if count(layer) is not None]
    return {form: (_run(graph_of(layer, form), feeds), wanted) for form in forms}


def _run(model: ir.Model, feeds: dict[str, np.ndarray]) -> np.ndarray:
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {one.name: feeds[one.name] for one in session.get_inputs()})[0])


@MORE
@given(geometries(), SEEDS)
def test_each_form_is_pytorchs_gradient(one: Geometry, seed: int) -> None:
    found = written(one, seed)
    assert found
    for form, (got, wanted) in found.items():
        np.testing.assert_allclose(got, wanted, rtol=0, atol=TOLERANCE * np.abs(wanted).max(), err_msg=form)


@st.composite
def met(draw: st.DrawFn) -> Geometry:
    """Convolutions whose every tap meets the input, so that all forms can be written."""
    axes = draw(st.sampled_from([1, 2, 3]))
    kernel = tuple(draw(st.integers(2, 3)) for _ in range(axes))
    dilations, strides = (tuple(draw(st.integers(1, 2)) for _ in range(axes)) for _ in range(2))
    pads = [tuple(draw(st.integers(0, 1)) for _ in range(axes)) for _ in range(2)]
    lengths = tuple(draw(st.integers(6, 9)) for _ in range(axes))
    groups = draw(st.sampled_from([1, 4]))
    inner, outer = (1, 1) if groups > 1 else (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    return Geometry(lengths, kernel, strides, dilations, pads[0], pads[1], groups, inner, outer, False)


@MORE
@given(met(), SEEDS)
def test_all_forms(one: Geometry, seed: int) -> None:
    found = written(one, seed)
    whole = {"samples", "samples_turned", "rows", "batch", "patches"}
    if len(one.kernel) > 1 and max(one.strides) == 1:
        whole.add("crossing")
    assert set(found) == (whole if one.groups == 1 else {"dots", "channels", "columns"})
    for form, (got, wanted) in found.items():
        np.testing.assert_allclose(got, wanted, rtol=0, atol=TOLERANCE * np.abs(wanted).max(), err_msg=form)


def test_every_form_has_a_cost() -> None:
    assert FORMS.keys() == COUNTS.keys()


SQUARE = Geometry((4, 4), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1), 1, 2, 2, False)


STRIDED = dataclasses.replace(SQUARE, strides=(2, 2))
POINTWISE = dataclasses.replace(SQUARE, kernel=(1, 1), before=(0, 0), after=(0, 0))


@pytest.mark.parametrize(
    ("one", "most"), [(SQUARE, 2 + 2), (STRIDED, 1 + 2), (POINTWISE, 0)], ids=["3x3", "strided", "pointwise"]
)
def test_how_many_parts_are_moved(one: Geometry, most: int) -> None:
    """A 3x3 kernel moves X and dY twice; with strides the phases of X and dY once, as far as taps share a phase."""
    nodes = [node.op_type for node in graph_of(layer_of(one), "samples").graph]
    assert nodes.count("Pad") == most
    assert nodes.count("Slice") == (4 if max(one.strides) > 1 else 0)
    assert nodes.count("MatMul") == math.prod(one.kernel)


def test_a_tap_that_meets_padding_alone_is_not_computed() -> None:
    """Over one position a 3x3 kernel with padding has one tap that meets it."""
    one = dataclasses.replace(SQUARE, lengths=(1, 1))
    assert [node.op_type for node in graph_of(layer_of(one), "samples").graph].count("MatMul") == 1
