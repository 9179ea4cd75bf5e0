import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import flops
from sparcl_compile.graphs.tensors import Tensor
from sparcl_compile.interface.names import Role
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


@given(seen=COUNT, replayed=COUNT, measured=COUNT)
def test_measuring_costs_what_it_does_without_gradient_masks(seen: int, replayed: int, measured: int) -> None:
    sample = dataclasses.replace(SAMPLE, measuring_sparse=6.5e8)
    with_masks, without = (
        counted(harness.Graph(flops.build(one)), seen, replayed, measured) for one in (sample, SAMPLE)
    )
    assert with_masks.pop("true_sparse") == 5.7e8 * (seen + replayed) + 6.5e8 * measured
    assert without.pop("true_sparse") == 5.7e8 * (seen + replayed + measured)
    assert with_masks == without


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


MASK, ROWS = Tensor("a.mask", (4, 5), Role.MASK), Tensor("b.rows", (4,), Role.INDEX, full_size=60)
MOVING = flops.MovingFlops(
    forward=100.0,
    training=250.0,
    layers=(
        flops.LayerFlops(MASK, 6, 1000.0, 900.0, 800.0),
        flops.LayerFlops(ROWS, 60, 5000.0, 4000.0, 3000.0, share=0.75),
    ),
    measures_whole=False,
)


def moving(kept: tuple[int, int]) -> dict[str, float]:
    """FLOPs of one sample's forward pass, of its training and of measuring, at these numbers of kept weights."""
    a, b = kept[0] / 20, kept[1] / 60
    forward = 100.0 + 1000.0 * a + 5000.0 * b
    both = 250.0 + 1900.0 * a + 9000.0 * b
    return {
        "forward": forward,
        "training": both + 800.0 * min(kept[0], 6) / 20 + 3000.0 * 0.75 * b,
        "measuring": both + 800.0 * a + 3000.0 * b,
    }


@pytest.mark.parametrize("whole", [False, True])
def test_presentations_cost_what_the_masks_said_then(whole: bool) -> None:
    graph = harness.Graph(flops.build(SAMPLE, dataclasses.replace(MOVING, measures_whole=whole)))
    graph.check_form()
    state = {"flops.counted": np.zeros(3, np.int64), "flops.spent": np.zeros(2)}
    paper = true = 0.0
    before = (0, 0, 0)
    for totals, kept in (((10, 0, 4), (20, 60)), ((25, 30, 9), (5, 12)), ((25, 30, 9), (5, 12)), ((40, 70, 9), (7, 0))):
        mask = np.zeros(20, np.float32)
        mask[: kept[0]] = 0.5
        masks = {"a.mask": mask.reshape(4, 5), "b.rows": np.array([0, 0, kept[1] // 2, kept[1]], np.int32)}
        counts = dict(zip(("samples_seen", "samples_replayed", "samples_measured"), map(np.array, totals), strict=True))
        found = graph({**counts, **masks, **state})
        state = {name: found[f"{name}.next"] for name in state}
        cost = moving(kept)
        seen, replayed, measured = (now - then for now, then in zip(totals, before, strict=True))
        paper += seen * cost["training"] + replayed * cost["forward"]
        measuring = SAMPLE.training_dense if whole else cost["measuring"]
        true += (seen + replayed) * cost["training"] + measured * measuring
        assert float(found["paper_sparse"]) == pytest.approx(paper, rel=1e-12)
        assert float(found["true_sparse"]) == pytest.approx(true, rel=1e-12)
        assert float(found["true_dense"]) == SAMPLE.training_dense * (totals[0] + totals[1])
        before = totals
