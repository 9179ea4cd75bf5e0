import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import record
from sparcl_compile.interface.names import Role
from tests.support import harness

SUMS_IN_ANY_ORDER = 1e-14

Matrices = tuple[harness.Array, harness.Array]


@pytest.fixture(scope="module")
def graph() -> harness.Graph:
    return harness.Graph(record.build(), rtol=SUMS_IN_ANY_ORDER)


def recorded(
    graph: harness.Graph, matrices: Matrices, task: int, of: int, correct: tuple[int, int], seen: int
) -> tuple[Matrices, float, float]:
    feeds = {
        "task": np.array(task),
        "of": np.array(of),
        "score.correct": np.array(correct),
        "score.seen": np.array(seen),
    }
    found = graph({**feeds, "accuracy.class": matrices[0], "accuracy.task": matrices[1]})
    after = found["accuracy.class.next"], found["accuracy.task.next"]
    return after, float(found["class_mean"]), float(found["task_mean"])


def unmeasured(tasks: int) -> Matrices:
    return np.full((tasks, tasks), math.nan), np.full((tasks, tasks), math.nan)


def test_form(graph: harness.Graph) -> None:
    graph.check_form()
    matrices = {"accuracy.class": "double[tasks,tasks]", "accuracy.task": "double[tasks,tasks]"}
    inputs, outputs = graph.signature()
    assert inputs == {
        "task": "int64[]",
        "of": "int64[]",
        "score.correct": "int64[2]",
        "score.seen": "int64[]",
        **matrices,
    }
    means = {"class_mean": "double[]", "task_mean": "double[]"}
    assert outputs == {**{f"{name}.next": text for name, text in matrices.items()}, **means}
    assert graph.roles == dict.fromkeys(("score.correct", "score.seen", *matrices), Role.RESULT)


@given(tasks=st.integers(1, 5), seed=st.integers(0, 2**20))
def test_a_run_fills_both_matrices_up_to_the_diagonal(graph: harness.Graph, tasks: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrices, wanted = unmeasured(tasks), unmeasured(tasks)
    for task in range(tasks):
        for of in range(task + 1):
            seen = int(rng.integers(1, 10_000))
            correct = int(rng.integers(0, seen + 1)), int(rng.integers(0, seen + 1))
            matrices, *means = recorded(graph, matrices, task, of, correct, seen)
            for matrix, right, mean in zip(wanted, correct, means, strict=True):
                matrix[task, of] = 100.0 * right / seen
                assert mean == pytest.approx(math.fsum(matrix[task, : of + 1]) / (of + 1), rel=SUMS_IN_ANY_ORDER)
    for found, matrix in zip(matrices, wanted, strict=True):
        np.testing.assert_array_equal(found, matrix)


def test_what_was_measured_before_stays(graph: harness.Graph) -> None:
    before = np.arange(9.0).reshape(3, 3), np.arange(9.0).reshape(3, 3) * 2
    after, class_mean, task_mean = recorded(graph, before, 1, 2, (1, 3), 4)
    assert after[0].tolist() == [[0, 1, 2], [3, 4, 25], [6, 7, 8]]
    assert after[1].tolist() == [[0, 2, 4], [6, 8, 75], [12, 14, 16]]
    assert (class_mean, task_mean) == ((3 + 4 + 25) / 3, (6 + 8 + 75) / 3)


@pytest.mark.parametrize(("task", "of"), [(2, 0), (0, 2)])
def test_a_task_that_the_run_does_not_have_is_refused(graph: harness.Graph, task: int, of: int) -> None:
    with pytest.raises(Exception, match="invalid indice found"):
        recorded(graph, unmeasured(2), task, of, (1, 1), 2)
