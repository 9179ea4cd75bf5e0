import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparcl_compile.graphs import batch
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.names import Role
from tests.reference.steps import log_shares
from tests.support import harness

CLASSES = 7


@pytest.fixture(scope="module")
def graphs() -> dict[str, harness.Graph]:
    return {loss: harness.Graph(batch.build(CLASSES, loss)) for loss in ("all", "task")}


@pytest.fixture(scope="module")
def balanced() -> dict[float, harness.Graph]:
    return {weight: harness.Graph(batch.build(CLASSES, "balanced", weight)) for weight in (1.0, 0.5)}


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
    with pytest.raises(
        OptionError, match=r"unknown classes 'own' of the loss; choose one of all, task, batch, balanced"
    ):
        batch.build(CLASSES, "own")  # type: ignore[arg-type]


def test_the_form_of_balanced_classes() -> None:
    graph = harness.Graph(batch.build(CLASSES, "balanced"))
    graph.check_form()
    inputs = {"labels": "int64[N]", "classes": "int64[K]", "buffer.labels": "int64[buffer]", "buffer.seen": "int64[]"}
    assert graph.signature()[0] == inputs
    assert graph.roles == {"buffer.labels": Role.BUFFER, "buffer.seen": Role.BUFFER}


@settings(max_examples=50, deadline=None)
@given(
    own=st.sets(st.integers(0, CLASSES - 1), min_size=1),
    stored=st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=20),
    seen=st.integers(0, 30),
)
@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_balanced_classes_have_the_logarithm_of_their_share(
    balanced: dict[float, harness.Graph], weight: float, own: set[int], stored: list[int], seen: int
) -> None:
    buffer = {"buffer.labels": np.array(stored), "buffer.seen": np.array(seen)}
    found = balanced[weight]({"labels": np.zeros(3, np.int64), "classes": np.array(sorted(own)), **buffer})
    wanted = log_shares(sorted(own), stored[:seen], CLASSES, weight)
    np.testing.assert_allclose(found["class_mask"], np.tile(wanted, (3, 1)), rtol=2e-6, atol=1e-6)
    assert (found["own_mask"][0] == np.where(np.isin(np.arange(CLASSES), list(own)), 0.0, np.float32(-1e9))).all()


def test_a_balanced_loss_is_least_for_logits_without_a_lean() -> None:
    """A network that cannot tell samples apart ends at equal logits, not at those of the classes shown most.

    Labels are those of a step: a task's two classes with weight 1 and a buffer of four classes with weight 1.
    """
    buffer = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3, 3])
    graph = harness.Graph(batch.build(4, "balanced"))
    feeds = {"labels": np.array([2, 3]), "classes": np.array([2, 3])}
    adjusted = graph({**feeds, "buffer.labels": buffer, "buffer.seen": np.array(10)})["class_mask"][0]
    share = np.bincount(buffer, minlength=4) / 10 + np.array([0.0, 0.0, 0.5, 0.5])
    # The gradient of sum_c share_c * CE(adjusted, c) by the logits, which are all 0.
    predicted = np.exp(adjusted) / np.exp(adjusted).sum()
    np.testing.assert_allclose(predicted * share.sum(), share, rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(labels=st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=9))
def test_the_loss_is_over_the_classes_of_the_batch(labels: list[int]) -> None:
    """ER-ACE: the classes that the incoming batch holds, not all of its task's."""
    graph = harness.Graph(batch.build(CLASSES, "batch"))
    found = graph({"labels": np.array(labels, np.int64), "classes": np.arange(CLASSES)})
    takes_part = np.isin(np.arange(CLASSES), labels)
    np.testing.assert_array_equal(found["class_mask"], np.tile(np.where(takes_part, 0.0, -1e9), (len(labels), 1)))
    np.testing.assert_array_equal(found["own_mask"], np.zeros((len(labels), CLASSES)))
