import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import decay
from tests.support import harness

SHARE = 0.25
RATE = 0.3


@pytest.fixture(scope="module")
def graph() -> harness.Graph:
    return harness.Graph(decay.build(SHARE))


def rate(graph: harness.Graph, epoch: int, epochs: int, done: int, total: int) -> float:
    counters = {"epoch": epoch, "epochs": epochs, "done": done, "total": total}
    feeds = {"learning_rate": np.array(RATE, np.float32), **{name: np.array(n) for name, n in counters.items()}}
    return float(graph(feeds)["rate"])


def test_form(graph: harness.Graph) -> None:
    graph.check_form()
    counters = dict.fromkeys(("epoch", "epochs", "done", "total"), "int64[]")
    assert graph.signature() == ({"learning_rate": "float[]", **counters}, {"rate": "float[]"})
    assert not graph.roles


def test_a_task_of_two_epochs(graph: harness.Graph) -> None:
    found = [rate(graph, epoch, 2, done, 8) / RATE for epoch in range(2) for done in range(8)]
    assert found == pytest.approx([1.0] * 13 + [0.75, 0.5, 0.25], rel=1e-6)


def test_the_last_step_still_moves(graph: harness.Graph) -> None:
    assert rate(graph, 0, 1, 0, 1) == pytest.approx(RATE)
    assert 0 < rate(graph, 4, 5, 999, 1000) < RATE / 1000


def test_a_step_beyond_the_last_one_is_as_small_as_it(graph: harness.Graph) -> None:
    assert rate(graph, 1, 2, 9, 8) == rate(graph, 1, 2, 7, 8)


@given(st.integers(1, 100), st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_it_falls_in_a_line(graph: harness.Graph, epochs: int, total: int, at: float) -> None:
    epoch, done = divmod(int(at * epochs * total), total)
    left = 1 - (epoch * total + done) / (epochs * total)
    assert rate(graph, epoch, epochs, done, total) == pytest.approx(RATE * min(1, left / SHARE), rel=1e-5)
