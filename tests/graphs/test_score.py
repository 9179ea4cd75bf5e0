import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import score
from tests.support import harness


@pytest.fixture(scope="module")
def graph() -> harness.Graph:
    return harness.Graph(score.build())


def correct(graph: harness.Graph, logits: harness.Array, labels: list[int], allowed: list[int]) -> int:
    mask = np.full(logits.shape, -1e9, np.float32)
    mask[:, allowed] = 0
    return int(graph({"logits": logits, "labels": np.array(labels, np.int64), "class_mask": mask})["correct"])


def test_form(graph: harness.Graph) -> None:
    graph.check_form()
    assert graph.signature() == (
        {"logits": "float[N,C]", "labels": "int64[N]", "class_mask": "float[N,C]"},
        {"correct": "int64[]"},
    )


@given(seed=st.integers(0, 2**20), samples=st.integers(1, 9), allowed=st.sets(st.integers(0, 4), min_size=1))
def test_only_classes_that_take_part_are_predicted(
    graph: harness.Graph, seed: int, samples: int, allowed: set[int]
) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(samples, 5)).astype(np.float32), rng.integers(0, 5, samples).tolist()
    best = [max(allowed, key=lambda c: row[c]) for row in logits]
    wanted = sum(b == y for b, y in zip(best, labels, strict=True))
    assert correct(graph, logits, labels, sorted(allowed)) == wanted


def test_equal_logits_predict_the_lowest_class(graph: harness.Graph) -> None:
    assert correct(graph, np.zeros((3, 4), np.float32), [0, 1, 3], [0, 1, 2, 3]) == 1
    assert correct(graph, np.zeros((3, 4), np.float32), [0, 1, 3], [1, 3]) == 1


def test_no_sample(graph: harness.Graph) -> None:
    assert correct(graph, np.zeros((0, 4), np.float32), [], [0]) == 0
