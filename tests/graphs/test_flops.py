import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import flops
from tests.support import harness

SAMPLE = flops.SampleFlops(
    forward_dense=1.1e9, forward_sparse=2.3e8, training_dense=3.3000000000000004e9, training_sparse=5.7e8
)
COUNT = st.integers(0, 2**45)


@pytest.fixture(scope="module")
def graph() -> harness.Graph:
    return harness.Graph(flops.build(SAMPLE))


def counted(graph: harness.Graph, seen: int, replayed: int, measured: int) -> dict[str, float]:
    counts = {"samples_seen": seen, "samples_replayed": replayed, "samples_measured": measured}
    return {name: float(value) for name, value in graph({n: np.array(c) for n, c in counts.items()}).items()}


def test_form(graph: harness.Graph) -> None:
    graph.check_form()
    counts = dict.fromkeys(("samples_seen", "samples_replayed", "samples_measured"), "int64[]")
    results = dict.fromkeys(("paper_dense", "paper_sparse", "true_dense", "true_sparse"), "double[]")
    assert graph.signature() == (counts, results)


@given(seen=COUNT, replayed=COUNT, measured=COUNT)
def test_equals_the_formulas_to_the_last_bit(graph: harness.Graph, seen: int, replayed: int, measured: int) -> None:
    assert counted(graph, seen, replayed, measured) == {
        "paper_dense": SAMPLE.training_dense * seen + SAMPLE.forward_dense * replayed,
        "paper_sparse": SAMPLE.training_sparse * seen + SAMPLE.forward_sparse * replayed,
        "true_dense": SAMPLE.training_dense * (seen + replayed),
        "true_sparse": SAMPLE.training_sparse * (seen + replayed + measured),
    }


def test_the_papers_formula() -> None:
    f, samples, epochs, replays = 2.0e6, 1000, 5, 2
    graph = harness.Graph(flops.build(flops.SampleFlops(f, f / 5, 3 * f, 3 * f / 5)))
    found = counted(graph, samples * epochs, replays * samples * epochs, 0)
    assert found["paper_dense"] == samples * epochs * f * (1 + 2 + replays)
    assert found["true_dense"] == samples * epochs * f * 3 * (1 + replays)


def test_no_sample_costs_nothing(graph: harness.Graph) -> None:
    assert set(counted(graph, 0, 0, 0).values()) == {0.0}


def test_counts_in_float_are_refused(graph: harness.Graph) -> None:
    with pytest.raises(Exception, match="Unexpected input data type"):
        graph({name: np.array(1.0) for name in graph.inputs})
