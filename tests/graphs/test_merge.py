import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import merge
from tests.support import harness

CLASSES, SAMPLE = 4, (3, 2)
SHAPES = {
    "x": (np.float32, SAMPLE),
    "labels": (np.int64, ()),
    "class_mask": (np.float32, (CLASSES,)),
    "ce_weight": (np.float32, ()),
    "distill_target": (np.float32, (CLASSES,)),
    "distill_weight": (np.float32, ()),
    "sample_id": (np.int64, ()),
}


@pytest.fixture(scope="module")
def graph() -> harness.Graph:
    return harness.Graph(merge.build(CLASSES, SAMPLE))


def tensors(samples: int, seed: int) -> dict[str, harness.Array]:
    rng = np.random.default_rng(seed)
    return {name: (rng.normal(size=(samples, *shape)) * 99).astype(dtype) for name, (dtype, shape) in SHAPES.items()}


def feeds(first: dict[str, harness.Array], second: dict[str, harness.Array]) -> dict[str, harness.Array]:
    pairs = (("first", first), ("second", second))
    return {f"{prefix}.{name}": value for prefix, part in pairs for name, value in part.items()}


def test_form(graph: harness.Graph) -> None:
    graph.check_form()
    inputs, outputs = graph.signature()
    assert outputs == {
        "x": "float[N,3,2]",
        "labels": "int64[N]",
        "class_mask": "float[N,4]",
        "ce_weight": "float[N]",
        "distill_target": "float[N,4]",
        "distill_weight": "float[N]",
        "sample_id": "int64[N]",
    }
    named = {f"first.{n}": t.replace("[N", "[A") for n, t in outputs.items()}
    named |= {f"second.{n}": t.replace("[N", "[B") for n, t in outputs.items()}
    assert inputs == named


@given(first=st.integers(0, 5), second=st.integers(0, 5), seed=st.integers(0, 2**20))
def test_the_first_samples_and_then_the_second(graph: harness.Graph, first: int, second: int, seed: int) -> None:
    parts = tensors(first, seed), tensors(second, seed + 1)
    found = graph(feeds(*parts))
    assert list(found) == list(SHAPES)
    for name, value in found.items():
        np.testing.assert_array_equal(value, np.concatenate([part[name] for part in parts]))


def test_a_length_that_may_vary_keeps_its_name() -> None:
    graph = harness.Graph(merge.build(CLASSES, (3, "height", "width")))
    assert graph.signature()[1]["x"] == "float[N,3,height,width]"


def test_batches_of_different_heads_are_refused(graph: harness.Graph) -> None:
    other = tensors(2, 1) | {"class_mask": np.zeros((2, CLASSES + 1), np.float32)}
    with pytest.raises(Exception, match=r"second\.class_mask"):
        graph(feeds(tensors(2, 0), other))
