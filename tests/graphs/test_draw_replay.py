import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import draw_replay
from tests.support import harness


@pytest.fixture(scope="module")
def graph() -> harness.Graph:
    return harness.Graph(draw_replay.build())


def drawn(graph: harness.Graph, key: harness.Array, filled: int, size: int, batch: int) -> list[int]:
    feeds = {"key": key, "filled": np.array(filled), "size": np.array(size), "batch": np.array(batch)}
    found: list[int] = graph(feeds)["slot"].tolist()
    return found


def test_form(graph: harness.Graph) -> None:
    graph.check_form()
    assert graph.signature() == (
        {"key": "int64[3]", "filled": "int64[]", "size": "int64[]", "batch": "int64[]"},
        {"slot": "int64[K]"},
    )


@given(
    seed=st.integers(0, 2**31),
    step=st.integers(0, 2**31),
    draw=st.integers(0, 1),
    filled=st.integers(0, 30),
    spare=st.integers(0, 10),
    batch=st.integers(0, 40),
)
def test_distinct_filled_slots_with_the_smallest_hashes(
    graph: harness.Graph, seed: int, step: int, draw: int, filled: int, spare: int, batch: int
) -> None:
    key = harness.key(seed, step, draw)
    found = drawn(graph, key, filled, filled + spare, batch)
    assert len(found) == len(set(found)) == min(batch, filled)
    assert set(found) <= set(range(filled))
    by_hash = sorted(range(filled), key=lambda slot: (harness.element("replay", key, slot), slot))
    assert found == by_hash[:batch]


def test_an_empty_buffer_gives_an_empty_batch(graph: harness.Graph) -> None:
    assert drawn(graph, harness.key(0), 0, 200, 32) == []


def test_one_slot(graph: harness.Graph) -> None:
    assert drawn(graph, harness.key(0), 1, 1, 32) == [0]


def test_never_a_slot_that_the_buffer_does_not_have(graph: harness.Graph) -> None:
    assert sorted(drawn(graph, harness.key(0), 9, 4, 32)) == [0, 1, 2, 3]


def test_draws_and_steps_differ(graph: harness.Graph) -> None:
    keys = [harness.key(0), harness.key(0, 0, 1), harness.key(0, 1), harness.key(1)]
    assert len({tuple(drawn(graph, key, 200, 200, 32)) for key in keys}) == len(keys)
