import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import remove_samples
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.names import Role
from tests.support import harness

SAMPLES = 12
COUNTS = st.lists(st.integers(0, 3), min_size=SAMPLES, max_size=SAMPLES)
FLAGS = st.lists(st.booleans(), min_size=SAMPLES, max_size=SAMPLES)

Feeds = dict[str, harness.Array]


@pytest.fixture(scope="module")
def graphs() -> dict[str, harness.Graph]:
    return {score: harness.Graph(remove_samples.build(score)) for score in ("misclassified", "forgetting")}


def feeds_for(
    keep: list[bool], score: list[int], seen: list[int], learned: list[bool], remove: int, position: int, batch: int = 1
) -> Feeds:
    """The share is such that ``remove`` more leave."""
    removed = len(keep) - sum(keep)
    order = np.random.default_rng(sum(score)).permutation(len(keep))
    return {
        "share": np.array([removed + remove, len(keep)], np.int64),
        "removed": np.array(removed, np.int64),
        "order": order.astype(np.int64),
        "position": np.array(position, np.int64),
        "batch": np.array(batch, np.int64),
        "done": np.array(7, np.int64),
        "sample_keep": np.array(keep, np.float32),
        "sample_score": np.array(score, np.int64),
        "sample_seen": np.array(seen, np.int64),
        "sample_learned": np.array(learned, np.int64),
    }


def call(graph: harness.Graph, feeds: Feeds) -> Feeds:
    return graph({name: value for name, value in feeds.items() if name in graph.inputs})


def simple(graph: harness.Graph, remove: int, **changes: harness.Array) -> Feeds:
    feeds = feeds_for([True] * 6, [3, 0, 2, 0, 1, 0], [2] * 6, [True] * 6, remove, 0)
    return call(graph, {**feeds, "order": np.arange(6), **changes})


def test_form(graphs: dict[str, harness.Graph]) -> None:
    for graph in graphs.values():
        graph.check_form()
    inputs, outputs = graphs["misclassified"].signature()
    assert inputs == {
        "share": "int64[2]",
        "removed": "int64[]",
        "order": "int64[S]",
        "position": "int64[]",
        "batch": "int64[]",
        "done": "int64[]",
        "sample_keep": "float[S]",
        "sample_score": "int64[S]",
        "sample_seen": "int64[S]",
    }
    results = {
        "removed_total": "int64[]",
        "removed_now": "int64[]",
        "new_order": "int64[S]",
        "new_position": "int64[]",
        "length": "int64[]",
        "steps": "int64[]",
        "sample_keep.next": "float[S]",
    }
    assert outputs == {**results, "sample_score.next": "int64[S]", "sample_seen.next": "int64[S]"}
    inputs, outputs = graphs["forgetting"].signature()
    samples = ("sample_keep", "sample_score", "sample_seen", "sample_learned")
    assert graphs["forgetting"].roles == dict.fromkeys(samples, Role.SAMPLE)
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
    batch=st.integers(1, SAMPLES + 1),
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
    batch: int,
) -> None:
    remove = max(remove, sum(keep) - SAMPLES)  # no share is below 0
    feeds = feeds_for(keep, counted, seen, learned, remove, position, batch)
    found = call(graphs[score], feeds)
    effective = counted if score == "misclassified" else [c if k else 50 for c, k in zip(counted, learned, strict=True)]
    kept = [i for i in range(SAMPLES) if keep[i]]
    spared = [i for i in kept if effective[i] == 0 and seen[i] >= 2]
    old = feeds["order"].tolist()
    gone = sorted(spared, key=lambda i: (-seen[i], old.index(i)))[: max(min(remove, len(kept) - batch), 0)]
    left = [i for i in kept if i not in gone]

    assert (int(found["removed_now"]), int(found["removed_total"])) == (len(gone), SAMPLES - len(left))
    assert np.flatnonzero(found["sample_keep.next"]).tolist() == left
    assert int(found["length"]) == len(left)
    assert sorted(found["new_order"].tolist()) == list(range(SAMPLES))
    assert found["new_order"][: len(left)].tolist() == [i for i in old if i in left]
    start = int(found["new_position"])
    assert int(found["steps"]) == 7 + (len(left) - start) // batch
    assert found["new_order"][start : len(left)].tolist() == [i for i in old[position:] if i in left]
    assert not found["sample_seen.next"].any()
    assert score == "forgetting" or not found["sample_score.next"].any()


@pytest.mark.parametrize("score", ["misclassified", "forgetting"])
@given(keep=FLAGS, counted=COUNTS, remove=st.integers(0, SAMPLES))
def test_those_removed_were_never_wrong(
    graphs: dict[str, harness.Graph], score: str, keep: list[bool], counted: list[int], remove: int
) -> None:
    feeds = feeds_for(keep, counted, [2] * SAMPLES, [True] * SAMPLES, remove, 0)
    after = call(graphs[score], feeds)["sample_keep.next"] > 0
    before = np.array(keep)
    gone, left = before & ~after, before & after
    assert not (after & ~before).any()
    can_go = before & (np.array(counted) == 0)
    assert int(gone.sum()) == min(remove, int(can_go.sum()), max(sum(keep) - 1, 0))
    assert not (gone & ~can_go).any()
    assert (left | gone == before).all()


def test_ties_go_to_the_more_often_seen_then_the_earlier_in_the_order(graphs: dict[str, harness.Graph]) -> None:
    seen = np.array([9, 2, 9, 3, 9, 3], np.int64)
    found = simple(graphs["misclassified"], 2, sample_seen=seen)
    assert found["sample_keep.next"].tolist() == [1, 1, 1, 0, 1, 0]
    found = simple(graphs["misclassified"], 2)
    assert found["sample_keep.next"].tolist() == [1, 0, 1, 0, 1, 1]
    found = simple(graphs["misclassified"], 2, order=np.array([2, 5, 4, 3, 1, 0]))
    assert found["sample_keep.next"].tolist() == [1, 1, 1, 0, 1, 0]


def test_a_data_set_in_the_order_of_its_classes_loses_of_each(graphs: dict[str, harness.Graph]) -> None:
    samples = 200  # the first half of them of one class
    every, twice = np.zeros(samples, np.int64), np.full(samples, 2, np.int64)
    feeds = feeds_for([True] * samples, every.tolist(), twice.tolist(), [True] * samples, 60, 0)
    left = call(graphs["misclassified"], feeds)["sample_keep.next"]
    assert left.sum() == 140
    assert 20 <= 100 - left[:100].sum() <= 40


def test_a_sample_never_learned_stays(graphs: dict[str, harness.Graph]) -> None:
    learned = np.array([1, 0, 1, 0, 1, 1], np.int64)
    found = simple(graphs["forgetting"], 3, sample_learned=learned)
    assert found["sample_keep.next"].tolist() == [1, 1, 1, 1, 1, 0]
    assert (int(found["removed_now"]), int(found["removed_total"])) == (1, 1)


@pytest.mark.parametrize("score", ["misclassified", "forgetting"])
@pytest.mark.parametrize(("seen", "left"), [(0, 6), (1, 6), (2, 3), (7, 3)])
def test_one_presentation_proves_nothing(graphs: dict[str, harness.Graph], score: str, seen: int, left: int) -> None:
    found = simple(graphs[score], 6, sample_seen=np.full(6, seen, np.int64))
    assert int(found["length"]) == left


def test_a_later_stage_makes_up_for_what_a_task_could_not_spare(graphs: dict[str, harness.Graph]) -> None:
    share = np.array([2, 6], np.int64)
    short = simple(graphs["misclassified"], 0, share=share, sample_seen=np.ones(6, np.int64))
    assert int(short["removed_total"]) == 0
    later = simple(graphs["misclassified"], 0, share=share, removed=short["removed_total"])
    assert int(later["removed_total"]) == 2


@pytest.mark.parametrize("remove", [6, 100])
@pytest.mark.parametrize(("batch", "left"), [(1, 1), (2, 2), (5, 5), (6, 6), (7, 6), (2**40, 6)])
def test_a_full_batch_stays(graphs: dict[str, harness.Graph], remove: int, batch: int, left: int) -> None:
    found = simple(graphs["misclassified"], remove, sample_score=np.zeros(6, np.int64), batch=np.array(batch))
    assert int(found["length"]) == int(found["sample_keep.next"].sum()) == left
    assert found["sample_keep.next"].tolist() == [0] * (6 - left) + [1] * left
    assert int(found["removed_total"]) == 6 - left


def test_removing_nothing_still_begins_a_stage(graphs: dict[str, harness.Graph]) -> None:
    found = simple(graphs["misclassified"], 0)
    assert found["sample_keep.next"].all()
    assert not found["sample_score.next"].any()


def test_one_sample(graphs: dict[str, harness.Graph]) -> None:
    found = call(graphs["misclassified"], feeds_for([True], [0], [2], [True], 1, 1))
    assert (int(found["length"]), int(found["new_position"]), found["new_order"].tolist()) == (1, 1, [0])


@given(
    samples=st.integers(1, 60),
    share=st.fractions(0, 1, max_denominator=1000),
    before=st.fractions(0, 1, max_denominator=50),
    factor=st.integers(1, 9),
)
def test_a_share_of_all_samples_is_rounded_in_whole_numbers(
    graphs: dict[str, harness.Graph], samples: int, share: Fraction, before: Fraction, factor: int
) -> None:
    removed = min(math.floor(before * samples), samples)
    keep = [False] * removed + [True] * (samples - removed)
    feeds = feeds_for(keep, [0] * samples, [2] * samples, [True] * samples, 0, 0)
    feeds["share"] = np.array([share.numerator * factor, share.denominator * factor], np.int64)
    found = call(graphs["misclassified"], feeds)
    target = math.floor(share * samples + Fraction(1, 2))
    total = max(removed, min(target, samples - 1))
    assert (int(found["removed_total"]), int(found["removed_now"])) == (total, total - removed)
    assert int(found["length"]) == samples - total


@pytest.mark.parametrize(
    ("share", "samples", "gone"), [((3, 40), 20, 2), ((1, 2), 3, 2), ((1, 3), 1, 0), ((0, 1), 9, 0)]
)
def test_a_half_is_rounded_up(
    graphs: dict[str, harness.Graph], share: tuple[int, int], samples: int, gone: int
) -> None:
    feeds = feeds_for([True] * samples, [0] * samples, [2] * samples, [True] * samples, 0, 0)
    assert int(call(graphs["misclassified"], feeds | {"share": np.array(share)})["removed_total"]) == gone


def test_a_share_without_a_denominator_is_refused(graphs: dict[str, harness.Graph]) -> None:
    with pytest.raises(Exception, match="Got invalid dimensions for input: share"):
        simple(graphs["misclassified"], 0, share=np.array([1]))


def test_an_unknown_score_is_refused() -> None:
    with pytest.raises(OptionError, match=r"unknown score 'loss'.*misclassified, forgetting"):
        remove_samples.build("loss")  # type: ignore[arg-type]
