"""Metrics of continual learning against hand-counted cases and their definitions."""

import math

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from sparcl_compile.graphs import summary
from sparcl_compile.interface.names import Role
from tests.reference.metrics import summary as reference
from tests.support import harness

NAN = math.nan
HAND = [[90.0, NAN, NAN], [95.0, 80.0, NAN], [60.0, 84.0, 70.0]]
OTHER = [[99.0, NAN, NAN], [98.0, 97.0, NAN], [96.0, 95.0, 94.0]]
METRICS = ("class_il", "forgetting", "backward_transfer", "learning_accuracy")
OF_TASKS = ("task_il", "task_forgetting", "task_backward_transfer", "task_learning_accuracy")

PERCENT = st.integers(0, 10**8).map(lambda parts: parts / 1e6)
"""Shares of counts, as accuracies are: a processor may take the tiniest of all floats for 0."""
MATRICES = st.integers(1, 9).flatmap(lambda size: hnp.arrays(np.float64, (size, size), elements=PERCENT))


@pytest.fixture(scope="module")
def graph() -> harness.Graph:
    return harness.Graph(summary.build(), rtol=1e-9)


def metrics(graph: harness.Graph, any_class: object, own_classes: object) -> dict[str, float]:
    feeds = {"accuracy.class": np.asarray(any_class), "accuracy.task": np.asarray(own_classes)}
    return {name: float(value) for name, value in graph(feeds).items()}


def test_form(graph: harness.Graph) -> None:
    graph.check_form()
    matrices = {"accuracy.class": "double[tasks,tasks]", "accuracy.task": "double[tasks,tasks]"}
    assert graph.signature() == (matrices, dict.fromkeys((*METRICS, *OF_TASKS), "double[]"))
    assert graph.roles == dict.fromkeys(matrices, Role.RESULT)


def test_a_case_counted_by_hand(graph: harness.Graph) -> None:
    found = metrics(graph, HAND, OTHER)
    assert found["class_il"] == pytest.approx((60 + 84 + 70) / 3)
    assert found["learning_accuracy"] == pytest.approx((90 + 80 + 70) / 3)
    assert found["forgetting"] == pytest.approx(((95 - 60) + (80 - 84)) / 2)
    assert found["backward_transfer"] == pytest.approx(((60 - 90) + (84 - 80)) / 2)
    assert found["task_il"] == pytest.approx(95.0)
    assert found["task_forgetting"] == pytest.approx(((99 - 96) + (97 - 95)) / 2)


def test_a_single_task_forgets_nothing(graph: harness.Graph) -> None:
    found = metrics(graph, [[75.0]], [[80.0]])
    assert [found[name] for name in METRICS] == [75.0, 0.0, 0.0, 75.0]
    assert [found[name] for name in OF_TASKS] == [80.0, 0.0, 0.0, 80.0]


@given(MATRICES, st.booleans())
def test_equals_the_reference(graph: harness.Graph, a: np.ndarray, measured_above: bool) -> None:
    lower = np.where(np.tri(len(a), dtype=bool), a, NAN)
    any_class, own_classes = (a, lower) if measured_above else (lower, a)
    found = metrics(graph, any_class, own_classes)
    assert found == pytest.approx(reference(any_class, own_classes), abs=1e-9)


@given(MATRICES)
def test_forgetting_bounds_backward_transfer(graph: harness.Graph, a: np.ndarray) -> None:
    found = metrics(graph, a, a)
    assert found["forgetting"] >= -found["backward_transfer"] - 1e-9


def test_what_was_not_measured_though_learned_makes_no_number(graph: harness.Graph) -> None:
    found = metrics(graph, [[1.0, NAN], [NAN, 2.0]], [[1.0, NAN], [1.0, 2.0]])
    assert math.isnan(found["class_il"])
    assert not math.isnan(found["task_il"])


def test_what_is_no_matrix_is_refused(graph: harness.Graph) -> None:
    with pytest.raises(Exception, match=r"Invalid rank for input: accuracy\.class"):
        metrics(graph, [1.0, 2.0], [[1.0]])
