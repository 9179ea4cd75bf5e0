import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import class_accuracy, count_by_class
from sparcl_compile.interface.names import Role
from tests.support import harness

CLASSES = 4
STATE = {"score.class_correct": "int64[4]", "score.class_seen": "int64[4]"}
Counts = tuple[list[int], list[int]]


@pytest.fixture(scope="module")
def counting() -> harness.Graph:
    return harness.Graph(count_by_class.build(CLASSES))


@pytest.fixture(scope="module")
def dividing() -> harness.Graph:
    return harness.Graph(class_accuracy.build(CLASSES))


def counted(graph: harness.Graph, best: list[int], labels: list[int], before: Counts) -> Counts:
    feeds = {"best": np.array(best, np.int64), "labels": np.array(labels, np.int64)}
    state = dict(zip(STATE, (np.array(one, np.int64) for one in before), strict=True))
    found = graph({**feeds, **state})
    return found["score.class_correct.next"].tolist(), found["score.class_seen.next"].tolist()


def test_form(counting: harness.Graph, dividing: harness.Graph) -> None:
    for graph in (counting, dividing):
        graph.check_form()
        assert graph.roles == dict.fromkeys(STATE, Role.RESULT)
    assert counting.signature() == (
        {"best": "int64[N]", "labels": "int64[N]", **STATE},
        {f"{name}.next": text for name, text in STATE.items()},
    )
    assert dividing.signature() == (STATE, {"accuracy": "double[]", "by_class": "double[4]"})


@given(
    answers=st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), max_size=12),
    before=st.lists(st.integers(0, 2**40), min_size=CLASSES, max_size=CLASSES),
)
def test_every_answer_counts_for_its_label(
    counting: harness.Graph, answers: list[tuple[int, int]], before: list[int]
) -> None:
    seen = [number + 3 for number in before]
    wanted = (list(before), list(seen))
    for best, label in answers:
        wanted[1][label] += 1
        wanted[0][label] += best == label
    assert counted(counting, [b for b, _ in answers], [y for _, y in answers], (before, seen)) == wanted


def test_a_label_that_the_head_does_not_have_is_refused(counting: harness.Graph) -> None:
    with pytest.raises(Exception, match=r"out of data bounds|out of bounds"):
        counted(counting, [0], [CLASSES], ([0] * CLASSES, [0] * CLASSES))


def divided(graph: harness.Graph, correct: list[int], seen: list[int]) -> tuple[float, list[float]]:
    found = graph(dict(zip(STATE, (np.array(correct), np.array(seen)), strict=True)))
    return float(found["accuracy"]), found["by_class"].tolist()


def test_accuracies_are_shares_in_percent(dividing: harness.Graph) -> None:
    accuracy, by_class = divided(dividing, [1, 0, 0, 3], [4, 1, 0, 3])
    assert accuracy == 50.0
    assert by_class[:2] == [25.0, 0.0]
    assert np.isnan(by_class[2])
    assert by_class[3] == 100.0


def test_nothing_counted_is_no_accuracy(dividing: harness.Graph) -> None:
    accuracy, by_class = divided(dividing, [0] * CLASSES, [0] * CLASSES)
    assert np.isnan([accuracy, *by_class]).all()
