import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import buffer_slots
from tests.support import harness


@pytest.fixture(scope="module")
def graph() -> harness.Graph:
    return harness.Graph(buffer_slots.build())


def slots(graph: harness.Graph, seed: int, seen: int, size: int, batch: int) -> list[int]:
    feeds = {"key": harness.key(seed), "seen": np.array(seen), "size": np.array(size), "labels": np.zeros(batch, int)}
    found: list[int] = graph(feeds)["slot"].tolist()
    return found


def sequential(seed: int, size: int, presentations: int) -> list[int]:
    """Which presentation each slot of a reservoir holds, one presentation at a time."""
    buffer: list[int] = []
    for n in range(presentations):
        r = harness.element("reservoir", harness.key(seed), n) % (n + 1)
        if n < size:
            buffer.append(n)
        elif r < size:
            buffer[r] = n
    return buffer


def test_form(graph: harness.Graph) -> None:
    graph.check_form()
    assert graph.signature() == (
        {"key": "int64[3]", "seen": "int64[]", "size": "int64[]", "labels": "int64[N]"},
        {"slot": "int64[N]"},
    )


@given(seed=st.integers(0, 2**31), size=st.integers(0, 8), batches=st.lists(st.integers(1, 12), max_size=6))
def test_batches_fill_the_buffer_as_single_presentations_do(
    graph: harness.Graph, seed: int, size: int, batches: list[int]
) -> None:
    buffer = [-1] * size
    seen = 0
    for batch in batches:
        for offset, slot in enumerate(slots(graph, seed, seen, size, batch)):
            assert -1 <= slot < max(size, 1)
            if slot >= 0:
                buffer[slot] = seen + offset
        seen += batch
    assert buffer[: min(seen, size)] == sequential(seed, size, seen)
    assert set(buffer[seen:]) <= {-1}


def test_a_slot_can_occur_twice_in_a_batch(graph: harness.Graph) -> None:
    found = slots(graph, 0, 3, 3, 400)
    taken = [slot for slot in found if slot >= 0]
    assert len(taken) > len(set(taken))


def test_the_first_presentations_fill_the_slots_in_order(graph: harness.Graph) -> None:
    assert slots(graph, 1, 0, 5, 5) == [0, 1, 2, 3, 4]
    assert slots(graph, 1, 3, 100, 2) == [3, 4]


def test_no_buffer_takes_nothing(graph: harness.Graph) -> None:
    assert slots(graph, 1, 0, 0, 4) == [-1, -1, -1, -1]


def test_one_presentation_and_none(graph: harness.Graph) -> None:
    assert slots(graph, 1, 0, 1, 1) == [0]
    assert slots(graph, 1, 7, 3, 0) == []


def test_a_reservoir_is_fair(graph: harness.Graph) -> None:
    # 200 seeds, 10 of 100: each presentation is expected 20 times, with a standard deviation of 4.2.
    counts = np.zeros(100, int)
    for seed in range(200):
        buffer = [-1] * 10
        for n, slot in enumerate(slots(graph, seed, 0, 10, 100)):
            if slot >= 0:
                buffer[slot] = n
        counts[buffer] += 1
    assert counts.sum() == 2000
    assert 3 < counts.min() < counts.max() < 37


def test_more_presentations_than_a_word_counts(graph: harness.Graph) -> None:
    seen = 2**32 + 5
    wanted = [harness.element("reservoir", harness.key(1), seen + i) % (seen + i + 1) for i in range(3)]
    assert slots(graph, 1, seen, 2**40, 3) == [seen, seen + 1, seen + 2]
    assert slots(graph, 1, seen, 2**32, 3) == [r if r < 2**32 else -1 for r in wanted]
