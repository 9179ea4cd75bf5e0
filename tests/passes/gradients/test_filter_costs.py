"""Which form of a convolution's weight gradient the table of costs chooses."""

import dataclasses
import math

import pytest
from hypothesis import given

from sparcl_compile.passes.gradients.filter_costs import COUNTS, RATES, Layer, cheapest, seconds
from sparcl_compile.passes.gradients.window import Window
from tests.passes.gradients.test_convolutions import MORE, Geometry, geometries
from tests.passes.gradients.test_filters import layer_of


def square(inner: int, outer: int, size: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> Layer:
    """A convolution over a square plane with zeros around it."""
    pad = kernel // 2
    out = (size + 2 * pad - kernel) // stride + 1
    sizes = [(n, n) for n in (kernel, stride, 1, pad, pad)]
    return Layer(Window(*sizes, groups=groups, inputs=(size, size), outputs=(out, out)), inner, outer)


def test_no_rate_is_negative_and_every_form_has_its_own() -> None:
    assert RATES.keys() == COUNTS.keys()
    assert all(rate > 0 for rates in RATES.values() for rate in rates.values())


@pytest.mark.parametrize("form", COUNTS)
def test_every_rate_is_of_something_counted(form: str) -> None:
    layers = (square(4, 4, 8), square(2, 2, 8, groups=2), square(1, 1, 8, groups=4))
    counted = [counts for layer in layers if (counts := COUNTS[form](layer)) is not None]
    assert counted
    assert all(RATES[form].keys() <= counts.keys() for counts in counted)


@MORE
@given(geometries())
def test_every_layer_has_a_form(one: Geometry) -> None:
    layer = layer_of(one)
    taken = seconds(cheapest(layer), layer)
    assert taken is not None
    assert all(taken <= other for form in COUNTS if (other := seconds(form, layer)) is not None)


@pytest.mark.parametrize(
    ("layer", "form"),
    [
        (square(3, 64, 32), "patches"),
        (square(3, 128, 32, stride=2), "patches"),
        (square(20, 20, 32), "crossing"),
        (square(40, 40, 16), "rows"),
        (square(256, 256, 8), "batch"),
        (square(512, 512, 4), "batch"),
        (square(20, 40, 32, kernel=1, stride=2), "samples_turned"),
        (square(4, 4, 16, groups=8), "groups"),
        (square(1, 1, 16, groups=128), "columns"),
        (square(1, 1, 64, groups=16), "dots"),
    ],
    ids=[
        "few channels",
        "strided",
        "narrow",
        "less narrow",
        "wide",
        "small planes",
        "pointwise",
        "groups",
        "depthwise",
        "long rows",
    ],
)
def test_what_is_chosen(layer: Layer, form: str) -> None:
    """As measured: each of these is ahead of the others by more than the table's error or by as much."""
    assert cheapest(layer) == form


def test_more_channels_are_never_cheaper() -> None:
    for form in COUNTS:
        times = [seconds(form, square(n, n, 8)) for n in (16, 32, 64)]
        assert times == sorted(times, key=lambda time: time or 0.0)


def test_a_form_that_cannot_be_written_has_no_time() -> None:
    layer = square(1, 1, 1, groups=4)
    assert not layer.all_meet
    assert seconds("columns", layer) is None
    assert seconds("batch", layer) is None
    assert cheapest(layer) in ("dots", "channels")


def test_counts_of_a_layer() -> None:
    layer = square(2, 5, 4)
    assert (layer.taps, layer.rows, layer.positions, layer.filters) == (9, 3, 16, 5)
    assert (layer.x, layer.dy) == (32 * 2 * 16, 32 * 5 * 16)
    assert layer.moved == 2 * layer.x + 2 * layer.dy
    strided = dataclasses.replace(layer, window=square(2, 5, 4, stride=2).window)
    assert strided.moved == strided.x + 2 * strided.x + 2 * strided.dy
    assert math.prod(strided.window.outputs) == 4
