import math

import hypothesis.extra.numpy as hnp
import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import sum_pixels
from sparcl_compile.interface.names import Role
from tests.support import harness

SUMS_IN_ANY_ORDER = 1e-12
SHAPES = st.tuples(st.integers(0, 4), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))


@pytest.fixture(scope="module")
def bytes_graph() -> harness.Graph:
    return harness.Graph(sum_pixels.build(ir.DataType.UINT8))


@pytest.fixture(scope="module")
def floats_graph() -> harness.Graph:
    return harness.Graph(sum_pixels.build(ir.DataType.FLOAT), rtol=SUMS_IN_ANY_ORDER)


def test_form(bytes_graph: harness.Graph, floats_graph: harness.Graph) -> None:
    for graph, raw, sums in ((bytes_graph, "uint8", "int64"), (floats_graph, "float", "double")):
        graph.check_form()
        assert graph.signature() == (
            {"x": f"{raw}[N,C,H,W]", "data.sum": f"{sums}[C]", "data.count": "int64[]"},
            {"data.sum.next": f"{sums}[C]", "data.count.next": "int64[]"},
        )
        assert graph.roles == dict.fromkeys(("data.sum", "data.count"), Role.DATA)


@given(x=hnp.arrays(np.uint8, SHAPES), count=st.integers(0, 2**40))
def test_bytes_are_added_exactly(bytes_graph: harness.Graph, x: harness.Array, count: int) -> None:
    # More than float64 holds exactly.
    before = np.arange(x.shape[1]) + 2**60 + 1
    found = bytes_graph({"x": x, "data.sum": before, "data.count": np.array(count)})
    wanted = [int(before[c]) + sum(int(value) for value in x[:, c].reshape(-1)) for c in range(x.shape[1])]
    assert found["data.sum.next"].tolist() == wanted
    assert int(found["data.count.next"]) == count + x[:, 0].size


@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(0, 2**20, width=32)))
def test_floats_are_added_in_float64(floats_graph: harness.Graph, x: harness.Array) -> None:
    feeds = {"x": x, "data.sum": np.full(x.shape[1], 0.1), "data.count": np.array(0)}
    found = floats_graph(feeds)
    wanted = [math.fsum([0.1, *x[:, c].reshape(-1).tolist()]) for c in range(x.shape[1])]
    np.testing.assert_allclose(found["data.sum.next"], wanted, rtol=SUMS_IN_ANY_ORDER)
    assert int(found["data.count.next"]) == x[:, 0].size


def test_some_at_a_time_or_all_at_once(bytes_graph: harness.Graph) -> None:
    x = np.random.default_rng(0).integers(0, 256, (7, 2, 5, 3), dtype=np.uint8)
    whole = parts = {"data.sum.next": np.zeros(2, np.int64), "data.count.next": np.array(0)}
    for some in np.split(x, [3, 4]):
        parts = bytes_graph({"x": some, **{name.removesuffix(".next"): value for name, value in parts.items()}})
    whole = bytes_graph({"x": x, **{name.removesuffix(".next"): value for name, value in whole.items()}})
    assert {name: value.tolist() for name, value in parts.items()} == {n: v.tolist() for n, v in whole.items()}


def test_samples_without_rows_and_columns_are_refused(bytes_graph: harness.Graph) -> None:
    with pytest.raises(Exception, match="Invalid rank for input: x"):
        bytes_graph({"x": np.zeros((3, 2), np.uint8), "data.sum": np.zeros(2, int), "data.count": np.array(0)})


def test_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="raw samples are UINT8 or FLOAT, not INT32"):
        sum_pixels.build(ir.DataType.INT32)
