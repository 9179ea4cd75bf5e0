import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import filter_samples
from sparcl_compile.interface.errors import OptionError
from tests.support import harness

SAMPLES = 12
COUNTS = st.lists(st.integers(0, 3), min_size=SAMPLES, max_size=SAMPLES)
FLAGS = st.lists(st.booleans(), min_size=SAMPLES, max_size=SAMPLES)

Feeds = dict[str, harness.Array]


@pytest.fixture(scope="module")
def graphs() -> dict[str, harness.Graph]:
    return {score: harness.Graph(filter_samples.build(score)) for score in ("misclassified", "forgetting")}


def feeds_for(
    keep: list[bool], score: list[int], seen: list[int], learned: list[bool], remove: int, position: int
) -> Feeds:
    order = np.random.default_rng(sum(score)).permutation(len(keep))
    return {
        "remove": np.array(remove, np.int64),
        "order": order.astype(np.int64),
        "position": np.array(position, np.int64),
        "sample_keep": np.array(keep, np.float32),
        "sample_score": np.array(score, np.int64),
        "sample_seen": np.array(seen, np.int64),
        "sample_learned": np.array(learned, np.int64),
    }


def call(graph: harness.Graph, feeds: Feeds) -> Feeds:
    return graph({name: value for name, value in feeds.items() if name in graph.inputs})


def simple(graph: harness.Graph, remove: int, **changes: harness.Array) -> Feeds:
    feeds = feeds_for([True] * 6, [3, 0, 2, 0, 1, 0], [1] * 6, [True] * 6, remove, 0)
    return call(graph, {**feeds, **changes})


def test_form(graphs: dict[str, harness.Graph]) -> None:
    for graph in graphs.values():
        graph.check_form()
    inputs, outputs = graphs["misclassified"].signature()
    assert inputs == {
        "remove": "int64[]",
        "order": "int64[S]",
        "position": "int64[]",
        "sample_keep": "float[S]",
        "sample_score": "int64[S]",
        "sample_seen": "int64[S]",
    }
    results = {"new_order": "int64[S]", "new_position": "int64[]", "length": "int64[]", "sample_keep.next": "float[S]"}
    assert outputs == {**results, "sample_score.next": "int64[S]", "sample_seen.next": "int64[S]"}
    inputs, outputs = graphs["forgetting"].signature()
    assert inputs["sample_learned"] == "int64[S]"
    assert outputs == {**results, "sample_seen.next": "int64[S]"}


@pytest.mark.parametrize("score", ["misclassified", "forgetting"])
@given(
    keep=FLAGS,
    counted=COUNTS,
    seen=COUNTS,
    learned=FLAGS,
    remove=st.integers(-1, SAMPLES + 1),
    position=st.integers(0, SAMPLES),
)
def test_equals_the_specification(
    graphs: dict[str, harness.Graph],
    score: str,
    keep: list[bool],
    counted: list[int],
    seen: list[int],
    learned: list[bool],
    remove: int,
    position: int,
) -> None:
    feeds = feeds_for(keep, counted, seen, learned, remove, position)
    found = call(graphs[score], feeds)
    effective = counted if score == "misclassified" else [c if k else 50 for c, k in zip(counted, learned, strict=True)]
    kept = [i for i in range(SAMPLES) if keep[i]]
    gone = sorted(kept, key=lambda i: (effective[i], -seen[i], i))[: max(remove, 0)]
    left = [i for i in kept if i not in gone]

    assert np.flatnonzero(found["sample_keep.next"]).tolist() == left
    assert int(found["length"]) == len(left)
    assert sorted(found["new_order"].tolist()) == list(range(SAMPLES))
    old = feeds["order"].tolist()
    assert found["new_order"][: len(left)].tolist() == [i for i in old if i in left]
    start = int(found["new_position"])
    assert found["new_order"][start : len(left)].tolist() == [i for i in old[position:] if i in left]
    assert not found["sample_seen.next"].any()
    assert score == "forgetting" or not found["sample_score.next"].any()


@pytest.mark.parametrize("score", ["misclassified", "forgetting"])
@given(keep=FLAGS, counted=COUNTS, remove=st.integers(0, SAMPLES))
def test_those_removed_have_the_lowest_scores(
    graphs: dict[str, harness.Graph], score: str, keep: list[bool], counted: list[int], remove: int
) -> None:
    feeds = feeds_for(keep, counted, [1] * SAMPLES, [True] * SAMPLES, remove, 0)
    after = call(graphs[score], feeds)["sample_keep.next"] > 0
    before = np.array(keep)
    gone, left = before & ~after, before & after
    assert not (after & ~before).any()
    assert int(gone.sum()) == min(remove, int(before.sum()))
    if gone.any() and left.any():
        assert np.array(counted)[gone].max() <= np.array(counted)[left].min()


def test_ties_go_to_the_more_often_seen_then_the_lower_index(graphs: dict[str, harness.Graph]) -> None:
    seen = np.array([9, 1, 9, 2, 9, 2], np.int64)
    found = simple(graphs["misclassified"], 2, sample_seen=seen)
    assert found["sample_keep.next"].tolist() == [1, 1, 1, 0, 1, 0]
    found = simple(graphs["misclassified"], 2)
    assert found["sample_keep.next"].tolist() == [1, 0, 1, 0, 1, 1]


def test_a_sample_never_learned_counts_fifty_forgetting_events(graphs: dict[str, harness.Graph]) -> None:
    learned = np.array([1, 0, 1, 0, 1, 0], np.int64)
    found = simple(graphs["forgetting"], 3, sample_learned=learned)
    assert found["sample_keep.next"].tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(("remove", "left"), [(1, [1, 1, 0, 1, 1, 1]), (2, [1, 0, 0, 1, 1, 1])])
def test_never_learned_stands_between_49_and_51(graphs: dict[str, harness.Graph], remove: int, left: list[int]) -> None:
    score, learned = np.array([51, 0, 49, 51, 51, 51], np.int64), np.array([1, 0, 1, 1, 1, 1], np.int64)
    found = simple(graphs["forgetting"], remove, sample_score=score, sample_learned=learned)
    assert found["sample_keep.next"].tolist() == left


@pytest.mark.parametrize("remove", [6, 100])
def test_everything_removed(graphs: dict[str, harness.Graph], remove: int) -> None:
    found = simple(graphs["misclassified"], remove)
    assert int(found["length"]) == int(found["new_position"]) == 0
    assert not found["sample_keep.next"].any()


def test_removing_nothing_still_begins_a_stage(graphs: dict[str, harness.Graph]) -> None:
    found = simple(graphs["misclassified"], 0)
    assert found["sample_keep.next"].all()
    assert not found["sample_score.next"].any()


def test_one_sample(graphs: dict[str, harness.Graph]) -> None:
    found = call(graphs["misclassified"], feeds_for([True], [1], [1], [True], 1, 1))
    assert (int(found["length"]), int(found["new_position"]), found["new_order"].tolist()) == (0, 0, [0])


def test_an_unknown_score_is_refused() -> None:
    with pytest.raises(OptionError, match=r"unknown score 'loss'.*misclassified, forgetting"):
        filter_samples.build("loss")  # type: ignore[arg-type]
