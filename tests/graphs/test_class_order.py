import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import class_order
from tests.reference import hashing
from tests.support import harness


@pytest.fixture(scope="module")
def graph() -> harness.Graph:
    return harness.Graph(class_order.build())


def order(graph: harness.Graph, classes: int, seed: int) -> list[int]:
    found: list[int] = graph({"key": harness.key(seed), "classes": np.array(classes)})["order"].tolist()
    return found


def test_form(graph: harness.Graph) -> None:
    graph.check_form()
    assert graph.signature() == ({"key": "int64[3]", "classes": "int64[]"}, {"order": "int64[K]"})


@given(classes=st.integers(0, 60), seed=st.integers(0, 2**40))
def test_every_class_once_by_ascending_hash(graph: harness.Graph, classes: int, seed: int) -> None:
    by_hash = sorted(range(classes), key=lambda i: (harness.element("classes", harness.key(seed), i), i))
    assert order(graph, classes, seed) == by_hash == hashing.class_order(classes, seed)


def test_the_order_stays_what_it_was(graph: harness.Graph) -> None:
    assert order(graph, 10, 0) == [0, 3, 6, 8, 2, 9, 5, 1, 7, 4]
    assert order(graph, 10, 1) != order(graph, 10, 0)


def test_a_thousand_classes_are_a_permutation(graph: harness.Graph) -> None:
    assert sorted(order(graph, 1000, 3)) == list(range(1000))


def test_a_scalar_key_is_refused(graph: harness.Graph) -> None:
    with pytest.raises(Exception, match="Invalid rank for input: key"):
        graph({"key": np.array(1), "classes": np.array(3)})
