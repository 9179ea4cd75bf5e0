import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import count_correct
from sparcl_compile.interface.names import Role
from tests.support import harness

CLASSES = 5


@pytest.fixture(scope="module")
def graph() -> harness.Graph:
    return harness.Graph(count_correct.build(CLASSES))


def counted(
    graph: harness.Graph,
    logits: harness.Array,
    labels: list[int],
    own: list[int],
    before: tuple[int, int, int] = (0, 0, 0),
) -> tuple[int, int, int]:
    """Right over any class, right over the own classes, and samples."""
    feeds = {"logits": logits, "labels": np.array(labels, np.int64), "classes": np.array(own, np.int64)}
    found = graph({**feeds, "score.correct": np.array(before[:2]), "score.seen": np.array(before[2])})
    any_class, own_class = found["score.correct.next"].tolist()
    return any_class, own_class, int(found["score.seen.next"])


def test_form(graph: harness.Graph) -> None:
    graph.check_form()
    assert graph.signature() == (
        {
            "logits": "float[N,5]",
            "labels": "int64[N]",
            "classes": "int64[K]",
            "score.correct": "int64[2]",
            "score.seen": "int64[]",
        },
        {"score.correct.next": "int64[2]", "score.seen.next": "int64[]"},
    )
    assert graph.roles == dict.fromkeys(("score.correct", "score.seen"), Role.RESULT)


@given(
    seed=st.integers(0, 2**20),
    samples=st.integers(0, 9),
    own=st.sets(st.integers(0, CLASSES - 1), min_size=1),
    before=st.tuples(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**40)),
)
def test_predictions_over_any_and_over_own_classes(
    graph: harness.Graph, seed: int, samples: int, own: set[int], before: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(samples, CLASSES)).astype(np.float32), rng.integers(0, CLASSES, samples).tolist()
    right = []
    for allowed in (range(CLASSES), sorted(own)):
        best = [max(allowed, key=lambda c: row[c]) for row in logits]
        right.append(sum(b == y for b, y in zip(best, labels, strict=True)))
    added = (right[0], right[1], samples)
    wanted = tuple(old + new for old, new in zip(before, added, strict=True))
    assert counted(graph, logits, labels, sorted(own), before) == wanted


def test_equal_logits_predict_the_lowest_class(graph: harness.Graph) -> None:
    logits = np.zeros((3, CLASSES), np.float32)
    assert counted(graph, logits, [0, 1, 3], [0, 1, 2, 3]) == (1, 1, 3)
    assert counted(graph, logits, [1, 1, 3], [3, 1]) == (0, 2, 3)


def test_a_class_that_the_head_does_not_have_is_refused(graph: harness.Graph) -> None:
    with pytest.raises(Exception, match="indices element out of data bounds"):
        counted(graph, np.zeros((1, CLASSES), np.float32), [0], [CLASSES])


def test_logits_of_another_head_are_refused(graph: harness.Graph) -> None:
    with pytest.raises(Exception, match="invalid dimensions for input: logits"):
        counted(graph, np.zeros((1, CLASSES + 1), np.float32), [0], [0])
