"""Metrics of continual learning against hand-counted cases and their definitions."""

import math

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from tests.reference.metrics import average_accuracy, backward_transfer, forgetting, learning_accuracy, summary

NAN = math.nan
HAND = [[90.0, NAN, NAN], [95.0, 80.0, NAN], [60.0, 84.0, 70.0]]
METRICS = (average_accuracy, learning_accuracy, forgetting, backward_transfer)

PERCENT = st.floats(0, 100)
MATRICES = st.integers(1, 6).flatmap(lambda size: hnp.arrays(np.float64, (size, size), elements=PERCENT))


def test_a_case_counted_by_hand() -> None:
    assert average_accuracy(HAND) == pytest.approx((60 + 84 + 70) / 3)
    assert learning_accuracy(HAND) == pytest.approx((90 + 80 + 70) / 3)
    assert forgetting(HAND) == pytest.approx(((95 - 60) + (80 - 84)) / 2)
    assert backward_transfer(HAND) == pytest.approx(((60 - 90) + (84 - 80)) / 2)


def test_a_single_task_forgets_nothing() -> None:
    assert [metric([[75.0]]) for metric in METRICS] == [75.0, 75.0, 0.0, 0.0]


@given(MATRICES)
def test_definitions_by_loops(a: np.ndarray) -> None:
    last = len(a) - 1
    lost = [max(a[i][j] for i in range(last)) - a[last][j] for j in range(last)]
    moved = [a[last][j] - a[j][j] for j in range(last)]
    assert forgetting(a) == pytest.approx(sum(lost) / last if last else 0.0)
    assert backward_transfer(a) == pytest.approx(sum(moved) / last if last else 0.0)


@given(MATRICES)
def test_forgetting_bounds_backward_transfer(a: np.ndarray) -> None:
    assert forgetting(a) >= -backward_transfer(a) - 1e-9


@given(MATRICES)
def test_what_was_not_measured_does_not_count_and_nothing_is_mutated(a: np.ndarray) -> None:
    lower = np.where(np.tri(len(a), dtype=bool), a, NAN)
    copy = lower.copy()
    values = [metric(lower) for metric in METRICS]
    np.testing.assert_array_equal(lower, copy)
    assert all(math.isfinite(value) and isinstance(value, float) for value in values)
    summary(lower, lower)
    np.testing.assert_array_equal(lower, copy)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("matrix", [[], [[]], [1.0, 2.0], [[1.0, 2.0]], [[1.0, NAN], [NAN, 1.0]], [[NAN]]])
def test_what_is_no_accuracy_matrix_is_refused(metric: object, matrix: list[object]) -> None:
    assert callable(metric)
    with pytest.raises(ValueError, match="an accuracy matrix"):
        metric(matrix)


def test_the_summary_has_every_metric_of_both_matrices() -> None:
    found = summary(np.array(HAND), [[99.0, NAN, NAN], [98.0, 97.0, NAN], [96.0, 95.0, 94.0]])
    assert found["class_il"] == average_accuracy(HAND)
    assert found["task_il"] == pytest.approx(95.0)
    assert found["task_forgetting"] == pytest.approx(((99 - 96) + (97 - 95)) / 2)
    assert {"class_il", "task_il", "forgetting", "backward_transfer", "learning_accuracy"} <= found.keys()
