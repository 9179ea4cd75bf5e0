import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs.builder import BOOL, FLOAT, INT64, Builder
from sparcl_compile.graphs.selection import largest
from tests.support import harness

DTYPES = {"float32": FLOAT, "int64": INT64}


def model(dtype: ir.DataType) -> ir.Model:
    b = Builder("selection", "")
    values, k = b.feed("values", dtype, ["N"]), b.feed("k", INT64, [])
    b.result("chosen", largest(b, values, k), BOOL, ["N"])
    return b.model()


@pytest.fixture(scope="module", params=DTYPES)
def graph(request: pytest.FixtureRequest) -> tuple[str, harness.Graph]:
    return request.param, harness.Graph(model(DTYPES[request.param]))


@given(values=st.lists(st.integers(-3, 3), min_size=1, max_size=60), share=st.floats(0, 1))
def test_exactly_k_and_the_lower_index_of_equals(
    graph: tuple[str, harness.Graph], values: list[int], share: float
) -> None:
    dtype, run = graph
    k = round(share * len(values))
    best = sorted(range(len(values)), key=lambda i: (-values[i], i))[:k]
    found = run({"values": np.array(values, dtype), "k": np.array(k)})
    assert np.flatnonzero(found["chosen"]).tolist() == sorted(best)


@pytest.mark.parametrize("k", [0, 1, 777, 40_000])
def test_many_equal_values(graph: tuple[str, harness.Graph], k: int) -> None:
    dtype, run = graph
    found = run({"values": np.zeros(40_000, dtype), "k": np.array(k)})
    np.testing.assert_array_equal(found["chosen"], np.arange(40_000) < k)


def test_values_one_rounding_step_apart_are_not_ties() -> None:
    run = harness.Graph(model(FLOAT))
    low = np.float32(1)
    values = np.array([low, np.nextafter(low, np.float32(2)), low, np.inf], np.float32)
    found = run({"values": values, "k": np.array(2)})
    assert found["chosen"].tolist() == [False, True, False, True]
