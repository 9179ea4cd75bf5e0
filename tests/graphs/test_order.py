import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import order
from tests.support import harness


@pytest.fixture(scope="module")
def graph() -> harness.Graph:
    return harness.Graph(order.build())


def expected(key: harness.Array, keep: list[bool]) -> list[int]:
    kept = [i for i, k in enumerate(keep) if k]
    return sorted(kept, key=lambda i: (harness.element("order", key, i), i))


def test_form(graph: harness.Graph) -> None:
    graph.check_form()
    assert graph.signature() == (
        {"key": "int64[3]", "batch": "int64[]", "sample_keep": "float[S]"},
        {"order": "int64[S]", "length": "int64[]", "steps": "int64[]"},
    )


def call(graph: harness.Graph, key: harness.Array, keep: harness.Array, batch: int = 1) -> dict[str, harness.Array]:
    return graph({"key": key, "batch": np.array(batch, np.int64), "sample_keep": keep})


@given(keep=st.lists(st.booleans(), min_size=1, max_size=40), seed=st.integers(0, 2**31), epoch=st.integers(0, 100))
def test_kept_samples_by_hash_then_the_removed(graph: harness.Graph, keep: list[bool], seed: int, epoch: int) -> None:
    key = harness.key(seed, 3, epoch)
    found = call(graph, key, np.array(keep, np.float32))
    length = int(found["length"])
    assert length == sum(keep)
    assert found["order"][:length].tolist() == expected(key, keep)
    assert found["order"][length:].tolist() == [i for i, k in enumerate(keep) if not k]


def test_epochs_tasks_and_seeds_differ(graph: harness.Graph) -> None:
    keep = np.ones(50, np.float32)
    keys = [harness.key(0, 0, 0), harness.key(0, 0, 1), harness.key(0, 1, 0), harness.key(1, 0, 0)]
    orders = {tuple(call(graph, key, keep)["order"]) for key in keys}
    assert len(orders) == len(keys)


def test_no_sample_is_kept(graph: harness.Graph) -> None:
    found = call(graph, harness.key(0), np.zeros(5, np.float32))
    assert int(found["length"]) == 0
    assert found["order"].tolist() == [0, 1, 2, 3, 4]


def test_ten_thousand_samples_are_a_permutation(graph: harness.Graph) -> None:
    found = call(graph, harness.key(9), np.ones(10_000, np.float32))
    np.testing.assert_array_equal(np.sort(found["order"]), np.arange(10_000))


def test_a_scalar_key_is_refused(graph: harness.Graph) -> None:
    with pytest.raises(Exception, match="Invalid rank for input: key"):
        call(graph, np.array(1, np.int64), np.ones(3, np.float32))


@pytest.mark.parametrize(("samples", "batch", "steps"), [(10, 3, 3), (9, 3, 3), (2, 3, 1), (0, 3, 1), (5, 1, 5)])
def test_a_batch_that_is_not_full_is_left_out_unless_it_is_the_only_one(
    graph: harness.Graph, samples: int, batch: int, steps: int
) -> None:
    keep = np.arange(12) < samples
    assert int(call(graph, harness.key(0), keep.astype(np.float32), batch)["steps"]) == steps
