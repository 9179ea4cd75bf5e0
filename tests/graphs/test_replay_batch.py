import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparcl_compile.graphs import replay_batch
from sparcl_compile.interface.names import Role
from tests.reference import buffer as reference
from tests.reference.steps import log_shares
from tests.support import harness

CLASSES, SAMPLE = 3, (2, 4, 1)
TYPES = {"uint8": ir.DataType.UINT8, "float": ir.DataType.FLOAT}


@pytest.fixture(scope="module")
def graphs() -> dict[str, harness.Graph]:
    return {name: harness.Graph(replay_batch.build(CLASSES, dtype)) for name, dtype in TYPES.items()}


def state(graph: harness.Graph, size: int, seen: int) -> dict[str, harness.Array]:
    rng = np.random.default_rng(size)
    dtype = np.uint8 if graph.signature()[0]["buffer.x"].startswith("uint8") else np.float32
    return {
        "buffer.x": rng.integers(0, 256, (size, *SAMPLE)).astype(dtype),
        "buffer.labels": rng.integers(0, CLASSES, size),
        "buffer.logits": rng.normal(size=(size, CLASSES)).astype(np.float32),
        "buffer.seen": np.array(seen),
    }


def feeds(key: harness.Array, batch: int, ce: float = 0.5, distill: float = 0.1) -> dict[str, harness.Array]:
    return {"key": key, "batch": np.array(batch), "ce": np.array(ce), "distill": np.array(distill)}


def drawn(graph: harness.Graph, key: harness.Array, seen: int, size: int, batch: int) -> list[int]:
    found: list[int] = graph({**feeds(key, batch), **state(graph, size, seen)})["slot"].tolist()
    return found


@pytest.mark.parametrize("name", TYPES)
def test_form(graphs: dict[str, harness.Graph], name: str) -> None:
    graphs[name].check_form()
    inputs, outputs = graphs[name].signature()
    assert inputs == {
        "key": "int64[3]",
        "batch": "int64[]",
        "ce": "double[]",
        "distill": "double[]",
        "buffer.x": f"{name}[buffer,C,H,W]",
        "buffer.labels": "int64[buffer]",
        "buffer.logits": "float[buffer,3]",
        "buffer.seen": "int64[]",
    }
    assert outputs == {
        "x": f"{name}[K,C,H,W]",
        "labels": "int64[K]",
        "class_mask": "float[K,3]",
        "distill_target": "float[K,3]",
        "ce_weight": "float[K]",
        "distill_weight": "float[K]",
        "sample_id": "int64[K]",
        "slot": "int64[K]",
    }
    buffer = ("buffer.x", "buffer.labels", "buffer.logits", "buffer.seen")
    assert graphs[name].roles == dict.fromkeys(buffer, Role.BUFFER)


@given(
    seed=st.integers(0, 2**31),
    step=st.integers(0, 2**31),
    draw=st.integers(0, 1),
    seen=st.integers(0, 30),
    size=st.integers(0, 25),
    batch=st.integers(0, 40),
)
def test_distinct_filled_slots_with_the_smallest_hashes(
    graphs: dict[str, harness.Graph], seed: int, step: int, draw: int, seen: int, size: int, batch: int
) -> None:
    filled, key = min(seen, size), harness.key(seed, step, draw)
    found = drawn(graphs["uint8"], key, seen, size, batch)
    by_hash = sorted(range(filled), key=lambda slot: (harness.element("replay", key, slot), slot))
    assert found == by_hash[:batch] == reference.draw(seed, step, draw, filled, batch).tolist()


@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**20), batch=st.integers(0, 12), ce=st.floats(0, 2), distill=st.floats(0, 2))
def test_what_the_slots_hold_with_its_weights(
    graphs: dict[str, harness.Graph], name: str, seed: int, batch: int, ce: float, distill: float
) -> None:
    held = state(graphs[name], size=9, seen=8)
    found = graphs[name]({**feeds(harness.key(seed), batch, ce, distill), **held})
    slot, size = found["slot"], min(batch, 8)
    np.testing.assert_array_equal(found["x"], held["buffer.x"][slot])
    np.testing.assert_array_equal(found["labels"], held["buffer.labels"][slot])
    np.testing.assert_array_equal(found["distill_target"], held["buffer.logits"][slot])
    np.testing.assert_array_equal(found["class_mask"], np.zeros((size, CLASSES), np.float32))
    np.testing.assert_array_equal(found["ce_weight"], np.full(size, ce / max(size, 1), np.float32))
    np.testing.assert_array_equal(found["distill_weight"], np.full(size, distill / max(size, 1), np.float32))
    assert found["sample_id"].tolist() == [-1] * size


@pytest.mark.parametrize(("seen", "size"), [(0, 200), (7, 0)])
def test_an_empty_buffer_gives_an_empty_batch(graphs: dict[str, harness.Graph], seen: int, size: int) -> None:
    graph = graphs["float"]
    found = graph({**feeds(harness.key(0), 32), **state(graph, size, seen)})
    assert {name: len(value) for name, value in found.items()} == dict.fromkeys(graph.outputs, 0)
    assert found["x"].shape == (0, *SAMPLE)


def test_one_slot(graphs: dict[str, harness.Graph]) -> None:
    assert drawn(graphs["uint8"], harness.key(0), 1, 1, 32) == [0]


def test_never_a_slot_that_the_buffer_does_not_have(graphs: dict[str, harness.Graph]) -> None:
    assert sorted(drawn(graphs["uint8"], harness.key(0), 9, 4, 32)) == [0, 1, 2, 3]


def test_draws_and_steps_differ(graphs: dict[str, harness.Graph]) -> None:
    keys = [harness.key(0), harness.key(0, 0, 1), harness.key(0, 1), harness.key(1)]
    assert len({tuple(drawn(graphs["uint8"], key, 200, 200, 32)) for key in keys}) == len(keys)


def test_a_buffer_of_another_type_is_refused(graphs: dict[str, harness.Graph]) -> None:
    held = state(graphs["float"], 4, 4)
    with pytest.raises(Exception, match=r"data type for input (\S+ )*buffer\.x|Unexpected input data type"):
        graphs["uint8"]({**feeds(harness.key(0), 2), **held})


@pytest.mark.parametrize("seen", [0, 1, 3, 9])
def test_only_seen_classes_take_part_in_er_ace(seen: int) -> None:
    graph = harness.Graph(replay_batch.build(6, loss_classes="seen"))
    held = {**state(graph, 4, seen), "buffer.logits": np.zeros((4, 6), np.float32)}
    found = graph({**feeds(harness.key(0), 2), "classes": np.array([4, 5]), **held})
    known = {4, 5, *held["buffer.labels"][: min(seen, 4)].tolist()}
    wanted = np.where(np.isin(np.arange(6), list(known)), 0.0, -1e9).astype(np.float32)
    np.testing.assert_array_equal(found["class_mask"], np.tile(wanted, (min(seen, 2), 1)))


@pytest.mark.parametrize("seen", [0, 1, 3, 9])
@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_balanced_classes_have_the_logarithm_of_their_share(seen: int, weight: float) -> None:
    graph = harness.Graph(replay_batch.build(6, loss_classes="balanced", weight=weight))
    held = {**state(graph, 4, seen), "buffer.logits": np.zeros((4, 6), np.float32)}
    found = graph({**feeds(harness.key(0), 2), "classes": np.array([4, 5]), **held})
    wanted = log_shares([4, 5], held["buffer.labels"][:seen].tolist(), 6, weight)
    np.testing.assert_allclose(found["class_mask"], np.tile(wanted, (min(seen, 2), 1)), rtol=1e-6)
