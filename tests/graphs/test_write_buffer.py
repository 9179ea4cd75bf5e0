import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import write_buffer
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.liveness.in_place import overwritable
from tests.reference.buffer import Buffer
from tests.support import harness

CLASSES, SAMPLE = 3, (2, 1, 2)
TYPES = {"uint8": ir.DataType.UINT8, "float": ir.DataType.FLOAT}
ROWS = ("buffer.x", "buffer.labels", "buffer.logits")

State = dict[str, harness.Array]


@pytest.fixture(scope="module")
def graphs() -> dict[str, harness.Graph]:
    return {name: harness.Graph(write_buffer.build(CLASSES, dtype)) for name, dtype in TYPES.items()}


def empty(size: int, dtype: str = "uint8", seen: int = 0) -> State:
    return {
        "buffer.x": np.zeros((size, *SAMPLE), np.uint8 if dtype == "uint8" else np.float32),
        "buffer.labels": np.zeros(size, np.int64),
        "buffer.logits": np.zeros((size, CLASSES), np.float32),
        "buffer.seen": np.array(seen),
    }


def presented(number: int, samples: int, dtype: str = "uint8", replayed: int = 0) -> State:
    """Presentations whose values tell them apart, and logits of so many more samples."""
    rng = np.random.default_rng(number)
    return {
        "x": rng.integers(1, 256, (samples, *SAMPLE)).astype(np.uint8 if dtype == "uint8" else np.float32),
        "labels": np.arange(number, number + samples),
        "logits": rng.normal(size=(samples + replayed, CLASSES)).astype(np.float32),
    }


def write(graph: harness.Graph, seed: int, new: State, held: State) -> tuple[State, list[int]]:
    """The state after a batch, and where its presentations went."""
    found = graph({"key": harness.key(seed), **new, **held})
    slot: list[int] = found.pop("slot").tolist()
    return {name.removesuffix(".next"): value for name, value in found.items()}, slot


def slots(graph: harness.Graph, seed: int, seen: int, size: int, samples: int) -> list[int]:
    return write(graph, seed, presented(0, samples), empty(size, seen=seen))[1]


@pytest.mark.parametrize("name", TYPES)
def test_form(graphs: dict[str, harness.Graph], name: str) -> None:
    graphs[name].check_form()
    state = {
        "buffer.x": f"{name}[buffer,C,H,W]",
        "buffer.labels": "int64[buffer]",
        "buffer.logits": "float[buffer,3]",
        "buffer.seen": "int64[]",
    }
    feeds = {"key": "int64[3]", "x": f"{name}[N,C,H,W]", "labels": "int64[N]", "logits": "float[M,3]"}
    results = {f"{key}.next": value for key, value in state.items()} | {"slot": "int64[N]"}
    assert graphs[name].signature() == ({**feeds, **state}, results)
    assert graphs[name].roles == dict.fromkeys(state, Role.BUFFER)


@pytest.mark.parametrize("name", TYPES)
@given(
    seed=st.integers(0, 2**31),
    size=st.integers(0, 8),
    batches=st.lists(st.integers(0, 12), max_size=6),
    replayed=st.integers(0, 3),
)
def test_equals_writing_one_presentation_after_another(
    graphs: dict[str, harness.Graph], name: str, seed: int, size: int, batches: list[int], replayed: int
) -> None:
    held, second = empty(size, name), Buffer(size, seed)
    second.x, second.logits = held["buffer.x"].copy(), held["buffer.logits"].copy()
    for samples in batches:
        new = presented(second.seen, samples, name, replayed)
        held, _ = write(graphs[name], seed, new, held)
        second.add(new["x"], new["labels"], new["logits"][:samples])
    np.testing.assert_array_equal(held["buffer.x"], second.x)
    np.testing.assert_array_equal(held["buffer.labels"], second.labels)
    np.testing.assert_array_equal(held["buffer.logits"], second.logits)
    assert int(held["buffer.seen"]) == second.seen


def test_the_later_of_two_presentations_in_one_slot_stays(graphs: dict[str, harness.Graph]) -> None:
    held, slot = write(graphs["uint8"], 0, presented(3, 400), empty(3, seen=3))
    taken = [number for number in slot if number >= 0]
    assert len(taken) > len(set(taken)) == 3
    last = {number: place for place, number in enumerate(slot)}
    assert held["buffer.labels"].tolist() == [last[number] + 3 for number in range(3)]


def test_the_first_presentations_fill_the_slots_in_order(graphs: dict[str, harness.Graph]) -> None:
    assert slots(graphs["uint8"], 1, 0, 5, 5) == [0, 1, 2, 3, 4]
    assert slots(graphs["uint8"], 1, 3, 100, 2) == [3, 4]


def test_no_buffer_takes_nothing(graphs: dict[str, harness.Graph]) -> None:
    assert slots(graphs["uint8"], 1, 0, 0, 4) == [-1, -1, -1, -1]


def test_one_presentation_and_none(graphs: dict[str, harness.Graph]) -> None:
    assert slots(graphs["uint8"], 1, 0, 1, 1) == [0]
    assert slots(graphs["uint8"], 1, 7, 3, 0) == []


def test_a_reservoir_is_fair(graphs: dict[str, harness.Graph]) -> None:
    # 200 seeds, 10 of 100: each presentation is expected 20 times, with a standard deviation of 4.2.
    counts = np.zeros(100, int)
    for seed in range(200):
        held, _ = write(graphs["uint8"], seed, presented(0, 100), empty(10))
        counts[held["buffer.labels"]] += 1
    assert counts.sum() == 2000
    assert 3 < counts.min() < counts.max() < 37


def test_more_presentations_than_a_word_counts(graphs: dict[str, harness.Graph]) -> None:
    seen = 2**32 + 5
    wanted = [harness.element("reservoir", harness.key(1), seen + i) % (seen + i + 1) for i in range(3)]
    assert slots(graphs["uint8"], 1, seen, 50, 3) == [r if r < 50 else -1 for r in wanted]
    assert int(write(graphs["uint8"], 1, presented(0, 3), empty(50, seen=seen))[0]["buffer.seen"]) == seen + 3


def test_rows_may_be_written_over_the_buffers_own_memory(graphs: dict[str, harness.Graph]) -> None:
    graph = graphs["uint8"]
    assert overwritable(ir.from_proto(graph.proto).graph) == list(ROWS)
    held, new = empty(6), presented(0, 9)
    wanted, slot = write(graph, 2, new, held)
    values = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in held.items()}
    session = ort.InferenceSession(graph.proto.SerializeToString(), providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, array in {"key": harness.key(2), **new}.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    for name in graph.outputs:
        state = name.removesuffix(".next")
        binding.bind_ortvalue_output(name, values[state]) if state in ROWS else binding.bind_output(name)
    session.run_with_iobinding(binding)
    assert dict(zip(graph.outputs, binding.get_outputs(), strict=True))["slot"].numpy().tolist() == slot
    for name in ROWS:
        np.testing.assert_array_equal(values[name].numpy(), wanted[name])


def test_fewer_logits_than_presentations_are_refused(graphs: dict[str, harness.Graph]) -> None:
    new = presented(0, 4)
    with pytest.raises(Exception, match="indices element out of data bounds"):
        write(graphs["uint8"], 0, new | {"logits": new["logits"][:2]}, empty(10))


def test_samples_of_another_size_are_refused(graphs: dict[str, harness.Graph]) -> None:
    new = presented(0, 2)
    with pytest.raises(Exception, match=r"updates shape: {2,2,1,1}"):
        write(graphs["uint8"], 0, new | {"x": new["x"][..., :1]}, empty(10))
