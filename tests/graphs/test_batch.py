import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparcl_compile.graphs import batch
from sparcl_compile.interface.errors import OptionError
from tests.support import harness

CLASSES = 7


@pytest.fixture(scope="module")
def graphs() -> dict[str, harness.Graph]:
    return {loss: harness.Graph(batch.build(CLASSES, loss)) for loss in ("all", "task")}


def call(graph: harness.Graph, samples: int, own: list[int]) -> dict[str, harness.Array]:
    return graph({"labels": np.zeros(samples, np.int64), "classes": np.array(own, np.int64)})


def test_form(graphs: dict[str, harness.Graph]) -> None:
    for graph in graphs.values():
        graph.check_form()
        rows, vector = f"float[N,{CLASSES}]", "float[N]"
        assert graph.signature() == (
            {"labels": "int64[N]", "classes": "int64[K]"},
            {
                "class_mask": rows,
                "own_mask": rows,
                "ce_weight": vector,
                "distill_target": rows,
                "distill_weight": vector,
            },
        )


@given(samples=st.integers(0, 50), own=st.sets(st.integers(0, CLASSES - 1)))
@pytest.mark.parametrize("loss", ["all", "task"])
def test_equals_numpy(graphs: dict[str, harness.Graph], loss: str, samples: int, own: set[int]) -> None:
    found = call(graphs[loss], samples, sorted(own, reverse=True))
    mask = np.full((samples, CLASSES), -1e9, np.float32)
    mask[:, list(own)] = 0.0
    np.testing.assert_array_equal(found["own_mask"], mask)
    np.testing.assert_array_equal(found["class_mask"], mask if loss == "task" else np.zeros_like(mask))
    np.testing.assert_array_equal(found["ce_weight"], np.full(samples, 1.0 / max(samples, 1), np.float32))
    np.testing.assert_array_equal(found["distill_target"], np.zeros((samples, CLASSES), np.float32))
    np.testing.assert_array_equal(found["distill_weight"], np.zeros(samples, np.float32))


@pytest.mark.parametrize("wrong", [CLASSES, -CLASSES - 1])
def test_a_class_that_the_head_does_not_have_is_refused(graphs: dict[str, harness.Graph], wrong: int) -> None:
    with pytest.raises(Exception, match="indices element out of data bounds"):
        call(graphs["all"], 2, [0, wrong])


def test_unknown_classes_of_the_loss_are_refused() -> None:
    with pytest.raises(OptionError, match=r"unknown classes 'own' of the loss; choose one of all, task"):
        batch.build(CLASSES, "own")  # type: ignore[arg-type]


@settings(max_examples=20, deadline=None)
@given(labels=st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=9))
def test_the_loss_is_over_the_classes_of_the_batch(labels: list[int]) -> None:
    """ER-ACE: the classes that the incoming batch holds, not all of its task's."""
    graph = harness.Graph(batch.build(CLASSES, "batch"))
    found = graph({"labels": np.array(labels, np.int64), "classes": np.arange(CLASSES)})
    takes_part = np.isin(np.arange(CLASSES), labels)
    np.testing.assert_array_equal(found["class_mask"], np.tile(np.where(takes_part, 0.0, -1e9), (len(labels), 1)))
    np.testing.assert_array_equal(found["own_mask"], np.zeros((len(labels), CLASSES)))
