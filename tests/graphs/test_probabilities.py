import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import probabilities
from tests.support import harness

CLASSES = 5


@pytest.fixture(scope="module")
def session() -> harness.Graph:
    return harness.Graph(probabilities.build(CLASSES))


def found(graph: harness.Graph, logits: harness.Array, classes: list[int]) -> tuple[harness.Array, harness.Array]:
    given = {"logits": logits, "classes": np.array(classes, np.int64)}
    # Exponentials are not equal to the bit, so that the two implementations are not compared here.
    probability, best = graph._session.run(["probability", "best"], given)
    return probability, best


def test_form(session: harness.Graph) -> None:
    session.check_form()
    assert session.signature() == (
        {"logits": "float[N,5]", "classes": "int64[M]"},
        {"probability": "float[N,M]", "best": "int64[N]"},
    )
    assert session.roles == {}


@given(seed=st.integers(0, 2**20), samples=st.integers(1, 9), own=st.sets(st.integers(0, CLASSES - 1), min_size=1))
def test_the_softmax_over_the_classes_to_choose_among(
    session: harness.Graph, seed: int, samples: int, own: set[int]
) -> None:
    logits = np.random.default_rng(seed).normal(size=(samples, CLASSES)).astype(np.float32) * 9
    classes = sorted(own)
    probability, best = found(session, logits, classes)
    powers = np.exp(logits[:, classes].astype(np.float64) - logits[:, classes].max(axis=1, keepdims=True))
    np.testing.assert_allclose(probability, powers / powers.sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0, rtol=1e-6)
    assert best.tolist() == [max(classes, key=lambda c, row=row: row[c]) for row in logits]


def test_of_equal_logits_the_lower_class_is_the_best(session: harness.Graph) -> None:
    assert found(session, np.zeros((2, CLASSES), np.float32), [1, 3])[1].tolist() == [1, 1]


def test_large_logits_overflow_nothing(session: harness.Graph) -> None:
    probability, best = found(session, np.array([[-3e38, 3e38, 0.0, 0.0, 0.0]], np.float32), [0, 1])
    assert probability.tolist() == [[0.0, 1.0]]
    assert best.tolist() == [1]


def test_a_class_that_the_head_does_not_have_is_refused(session: harness.Graph) -> None:
    with pytest.raises(Exception, match="indices element out of data bounds"):
        found(session, np.zeros((1, CLASSES), np.float32), [CLASSES])
