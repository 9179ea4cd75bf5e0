"""Mean and deviation from images, by the three graphs one after the other."""

import math
import statistics as statistics_of
from fractions import Fraction

import hypothesis.extra.numpy as hnp
import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from sparcl_compile.graphs import statistics, sum_pixels, sum_squares
from sparcl_compile.interface.names import Role
from tests.reference.statistics import for_graphs
from tests.support import harness

SUMS_IN_ANY_ORDER = 1e-12
SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
TYPES = {"uint8": ir.DataType.UINT8, "float32": ir.DataType.FLOAT}

Graphs = dict[str, tuple[harness.Graph, harness.Graph, harness.Graph]]


@pytest.fixture(scope="module")
def graphs() -> Graphs:
    modules = (sum_pixels, sum_squares, statistics)
    made = {n: [harness.Graph(m.build(dtype), SUMS_IN_ANY_ORDER) for m in modules] for n, dtype in TYPES.items()}
    return {name: (first, second, third) for name, (first, second, third) in made.items()}


def measured(graphs: Graphs, x: harness.Array) -> tuple[harness.Array, harness.Array]:
    """Mean and deviation for ``(x / 255 - mean) / std``."""
    pixels, squares, last = graphs[str(x.dtype)]
    zeros = np.zeros(x.shape[1], np.int64 if x.dtype == np.uint8 else np.float64)
    sums = pixels({"x": x, "data.sum": zeros, "data.count": np.array(0)})
    state = {name.removesuffix(".next"): value for name, value in sums.items()}
    state |= {"data.squares": squares({"x": x, **state, "data.squares": zeros})["data.squares.next"]}
    found = last(state)
    return found["data.mean.next"], found["data.std.next"]


def exactly(x: harness.Array) -> list[tuple[float, float]]:
    """Mean and variance of each channel of bytes in fractions, rounded once."""
    found = []
    for channel in x.transpose(1, 0, 2, 3).reshape(x.shape[1], -1):
        values = [int(value) for value in channel]
        mean = Fraction(sum(values), len(values))
        found.append((float(mean), float(sum((value - mean) ** 2 for value in values) / len(values))))
    return found


@pytest.mark.parametrize(("name", "sums"), [("uint8", "int64"), ("float32", "double")])
def test_form(graphs: Graphs, name: str, sums: str) -> None:
    graph = graphs[name][2]
    graph.check_form()
    assert graph.signature() == (
        {"data.sum": f"{sums}[C]", "data.squares": f"{sums}[C]", "data.count": "int64[]"},
        {"data.mean.next": "float[C]", "data.std.next": "float[C]"},
    )
    assert graph.roles == dict.fromkeys(graph.inputs, Role.DATA)


@given(hnp.arrays(np.uint8, SHAPES))
def test_bytes_are_measured_as_numpy_does_to_the_last_bit(graphs: Graphs, x: harness.Array) -> None:
    for found, wanted in zip(measured(graphs, x), for_graphs(x), strict=True):
        np.testing.assert_array_equal(found, wanted)


@given(hnp.arrays(np.uint8, SHAPES))
def test_bytes_are_measured_exactly(graphs: Graphs, x: harness.Array) -> None:
    mean, std = measured(graphs, x)
    wanted = exactly(x)
    deviations = [math.sqrt(variance) / 255 for _, variance in wanted]
    floor = 0.01 * statistics_of.median_low([d for d in deviations if d] or [0.0])
    np.testing.assert_array_equal(mean, np.array([m / 255 for m, _ in wanted], np.float32))
    np.testing.assert_array_almost_equal_nulp(std, np.array([max(d, floor) if floor else 1 for d in deviations], "f4"))


@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(-100, 100, width=32)))
def test_floats_are_measured_as_numpy_does(graphs: Graphs, x: harness.Array) -> None:
    for found, wanted in zip(measured(graphs, x), for_graphs(x), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=3e-7, atol=1e-12)


@pytest.mark.parametrize("dtype", TYPES)
def test_training_images_are_standardised(graphs: Graphs, dtype: str) -> None:
    x = (np.arange(3 * 2 * 4 * 3) * 7 % 251).reshape(3, 2, 4, 3).astype(dtype)
    mean, std = (value.reshape(1, -1, 1, 1) for value in measured(graphs, x))
    z = (x.astype(np.float32) / 255 - mean) / std
    np.testing.assert_allclose(z.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(axis=(0, 2, 3)), 1, rtol=1e-5)


def test_the_digits_keep_their_numbers(graphs: Graphs) -> None:
    images = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    mean, std = measured(graphs, images[:, np.newaxis])
    np.testing.assert_array_equal(mean, np.float32(0.30530873))
    np.testing.assert_array_equal(std, np.float32(0.3758859))


@pytest.mark.parametrize("value", [0, 7, 255])
def test_bytes_of_one_value_are_only_centred(graphs: Graphs, value: int) -> None:
    mean, std = measured(graphs, np.full((7, 2, 3, 3), value, np.uint8))
    np.testing.assert_array_equal(mean, np.float32(value / 255))
    np.testing.assert_array_equal(std, 1.0)


@pytest.mark.parametrize("value", [0.0, 0.1, -3e7])
def test_floats_of_one_value_are_only_centred(graphs: Graphs, value: float) -> None:
    mean, std = measured(graphs, np.full((7, 2, 3, 3), value, np.float32))
    np.testing.assert_allclose(mean, value / 255, rtol=1e-6)
    np.testing.assert_array_equal(std, np.float32(1 / 255))


def test_one_pixel_of_another_value_is_noticed(graphs: Graphs) -> None:
    x = np.full((1000, 1, 8, 8), 200, np.uint8)
    x[500, 0, 3, 3] = 201
    _, std = measured(graphs, x)
    share = Fraction(1, x.size)
    np.testing.assert_array_equal(std, np.float32(math.sqrt(share * (1 - share)) / 255))


def test_a_constant_channel_does_not_explode(graphs: Graphs) -> None:
    x = (np.arange(3 * 2 * 4 * 3) * 7 % 251).reshape(3, 2, 4, 3).astype(np.float32)
    x[:, 1] = 5.0
    _, std = measured(graphs, x)
    assert std[1] == pytest.approx(0.01 * std[0], rel=1e-5)


def test_a_column_of_a_small_unit_does_not_flatten_the_others(graphs: Graphs) -> None:
    """Elevation in metres, a share, two of a kind and a column that never varies: each that varies has deviation 1."""
    draw = np.random.default_rng(0)
    units = np.array([1e5, 1e-2, 0.3, 0.5, 0.0], np.float32).reshape(1, 5, 1, 1)
    x = (draw.normal(size=(200, 5, 1, 1)).astype(np.float32) + 2) * units
    mean, std = (value.reshape(1, -1, 1, 1) for value in measured(graphs, x))
    z = (x / 255 - mean) / std
    np.testing.assert_allclose(z.std(axis=0).ravel(), [1, 1, 1, 1, 0], rtol=1e-3)


def test_a_thousand_channels(graphs: Graphs) -> None:
    x = np.random.default_rng(0).integers(0, 256, (50, 1000, 1, 1), dtype=np.uint8)
    for found, wanted in zip(measured(graphs, x), for_graphs(x), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="raw samples are UINT8 or FLOAT, not INT8"):
        statistics.build(ir.DataType.INT8)
