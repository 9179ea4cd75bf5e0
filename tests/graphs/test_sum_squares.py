from fractions import Fraction

import hypothesis.extra.numpy as hnp
import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import sum_squares
from sparcl_compile.interface.names import Role
from tests.support import harness

SUMS_IN_ANY_ORDER = 1e-12
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))


@pytest.fixture(scope="module")
def bytes_graph() -> harness.Graph:
    return harness.Graph(sum_squares.build(ir.DataType.UINT8))


@pytest.fixture(scope="module")
def floats_graph() -> harness.Graph:
    return harness.Graph(sum_squares.build(ir.DataType.FLOAT), rtol=SUMS_IN_ANY_ORDER)


def feeds(x: harness.Array, squares: harness.Array) -> dict[str, harness.Array]:
    """The feeds with the sums of exactly these samples."""
    dtype = np.int64 if x.dtype == np.uint8 else np.float64
    total = x.sum(axis=(0, 2, 3), dtype=dtype)
    return {"x": x, "data.sum": total, "data.count": np.array(x[:, 0].size), "data.squares": squares}


def test_form(bytes_graph: harness.Graph, floats_graph: harness.Graph) -> None:
    for graph, raw, sums in ((bytes_graph, "uint8", "int64"), (floats_graph, "float", "double")):
        graph.check_form()
        state = {"data.sum": f"{sums}[C]", "data.count": "int64[]", "data.squares": f"{sums}[C]"}
        assert graph.signature() == ({"x": f"{raw}[N,C,H,W]", **state}, {"data.squares.next": f"{sums}[C]"})
        assert graph.roles == dict.fromkeys(state, Role.DATA)


@given(hnp.arrays(np.uint8, SHAPES))
def test_bytes_are_squared_from_the_nearest_whole_mean(bytes_graph: harness.Graph, x: harness.Array) -> None:
    before = np.arange(x.shape[1]) + 2**60 + 1
    found = bytes_graph(feeds(x, before))["data.squares.next"]
    for c in range(x.shape[1]):
        values = [int(value) for value in x[:, c].reshape(-1)]
        centre = int(Fraction(sum(values), len(values)) + Fraction(1, 2))
        assert int(found[c]) == int(before[c]) + sum((value - centre) ** 2 for value in values)


@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(-100, 100, width=32)))
def test_floats_are_squared_from_their_mean(floats_graph: harness.Graph, x: harness.Array) -> None:
    found = floats_graph(feeds(x, np.full(x.shape[1], 0.5)))["data.squares.next"]
    wanted = 0.5 + x.var(axis=(0, 2, 3), dtype=np.float64) * x[:, 0].size
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_some_at_a_time_or_all_at_once(bytes_graph: harness.Graph) -> None:
    x = np.random.default_rng(0).integers(0, 256, (7, 2, 5, 3), dtype=np.uint8)
    given_sums, squares = feeds(x, np.zeros(2, np.int64)), np.zeros(2, np.int64)
    for some in np.split(x, [3, 4]):
        squares = bytes_graph(given_sums | {"x": some, "data.squares": squares})["data.squares.next"]
    assert squares.tolist() == bytes_graph(given_sums)["data.squares.next"].tolist()


def test_no_sample_at_all_does_not_divide_by_zero(bytes_graph: harness.Graph) -> None:
    nothing = np.zeros((0, 2, 3, 3), np.uint8)
    assert bytes_graph(feeds(nothing, np.array([4, 5])))["data.squares.next"].tolist() == [4, 5]


def test_sums_of_another_number_of_channels_are_refused(bytes_graph: harness.Graph) -> None:
    three = feeds(np.zeros((2, 3, 2, 2), np.uint8), np.zeros(3, int))
    with pytest.raises(Exception, match=r"Attempting to broadcast an axis by a dimension other than 1"):
        bytes_graph(three | {"x": np.zeros((2, 2, 2, 2), np.uint8)})


def test_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="raw samples are UINT8 or FLOAT, not DOUBLE"):
        sum_squares.build(ir.DataType.DOUBLE)
