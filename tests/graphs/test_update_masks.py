from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import update_masks
from sparcl_compile.graphs.masks import MaskedLayer, Rule
from tests.support import harness

LAYERS = (MaskedLayer("conv.weight", (3, 2, 2, 2)), MaskedLayer("fc.weight", (4, 5)))
STATES = {"conv.weight": ("conv.weight.momentum",), "fc.weight": ("fc.weight.exp_avg", "fc.weight.exp_avg_sq")}
ALPHA, BETA = 0.5, 1.0

Feeds = dict[str, harness.Array]
SIZES = st.integers(-1, 26)


@pytest.fixture(scope="module")
def graph() -> harness.Graph:
    return harness.Graph(update_masks.build(LAYERS, STATES, Rule(ALPHA, BETA), gradient_masks=True))


def tensors(seed: int, ties: bool, density: float) -> Feeds:
    rng = np.random.default_rng(seed)
    feeds: Feeds = {}
    for layer in LAYERS:
        mask = (rng.random(layer.shape) < density).astype(np.float32)
        for name in (layer.name, f"{layer.name}.g1", f"{layer.name}.g2", *STATES[layer.name]):
            values = rng.integers(-2, 3, layer.shape) if ties else rng.normal(size=layer.shape)
            feeds[name] = values.astype(np.float32)
        feeds[layer.name] *= mask
        feeds[f"{layer.name}.mask"] = mask
    return feeds


def call(graph: harness.Graph, feeds: Feeds, remove_to: Any, grow_to: Any, key: harness.Array | None = None) -> Feeds:
    counts = {"remove_to": np.array(remove_to, np.int64), "grow_to": np.array(grow_to, np.int64)}
    return graph({**feeds, **counts, "key": harness.key(5, 2) if key is None else key})


def expected(
    feeds: Feeds, number: int, remove_to: int, grow_to: int, seed: int, updates: int
) -> tuple[set[int], set[int]]:
    """Flat indices that stay, and that are grown, by the steps of docs/algorithm.md."""
    name, size = LAYERS[number].name, LAYERS[number].size
    w, g1, g2 = (np.abs(feeds[name + suffix]).reshape(-1) for suffix in ("", ".g1", ".g2"))
    importance = (w + np.float32(ALPHA) * g1) + np.float32(BETA) * g2
    kept = [i for i in range(size) if feeds[f"{name}.mask"].reshape(-1)[i]]
    stays = set(sorted(kept, key=lambda i: (-importance[i], i))[: max(remove_to, 0)])
    free = [i for i in range(size) if i not in stays]
    word_key = harness.key(seed, updates, number)
    by_hash = sorted(free, key=lambda i: (-harness.element("grow", word_key, i), i))
    return stays, set(by_hash[: max(grow_to - len(stays), 0)])


def test_form(graph: harness.Graph) -> None:
    graph.check_form()
    inputs, outputs = graph.signature()
    assert inputs["key"] == "int64[3]"
    assert inputs["remove_to"] == inputs["grow_to"] == "int64[2]"
    shapes = {"conv.weight": "float[3,2,2,2]", "fc.weight": "float[4,5]"}
    for name, shape in shapes.items():
        state = {name, f"{name}.mask", *STATES[name]}
        assert {inputs[n] for n in (*state, f"{name}.g1", f"{name}.g2")} == {shape}
        assert {outputs[f"{n}.next"] for n in (*state, f"{name}.gradient_mask")} == {shape}
    assert (len(inputs), len(outputs)) == (3 + 4 * 2 + 3, 3 * 2 + 3)


def test_without_gradient_masks_and_optimizer_states_nothing_reads_them() -> None:
    graph = harness.Graph(update_masks.build(LAYERS[:1], {}, Rule(0.5, 0.0), gradient_masks=False))
    assert graph.outputs == ["conv.weight.next", "conv.weight.mask.next"]
    assert not any("momentum" in name or "gradient_mask" in name for name in graph.inputs)


@given(
    seed=st.integers(0, 2**20),
    updates=st.integers(0, 2**33),
    ties=st.booleans(),
    density=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    remove_to=st.tuples(SIZES, SIZES),
    grow_to=st.tuples(SIZES, SIZES),
)
def test_equals_the_specification(
    graph: harness.Graph,
    seed: int,
    updates: int,
    ties: bool,
    density: float,
    remove_to: tuple[int, int],
    grow_to: tuple[int, int],
) -> None:
    feeds = tensors(seed, ties, density)
    found = call(graph, feeds, remove_to, grow_to, harness.key(seed, updates, 99))
    for number, layer in enumerate(LAYERS):
        stays, grown = expected(feeds, number, remove_to[number], grow_to[number], seed, updates)
        mask = found[f"{layer.name}.mask.next"]
        assert set(np.flatnonzero(mask)) == stays | grown
        assert set(np.unique(mask)) <= {0.0, 1.0}
        np.testing.assert_array_equal(found[f"{layer.name}.gradient_mask.next"], mask)
        kept = set(np.flatnonzero(feeds[f"{layer.name}.mask"]).tolist())
        zeroed = sorted((kept - stays) | grown)
        for name in (layer.name, *STATES[layer.name]):
            wanted = feeds[name].reshape(-1).copy()
            wanted[zeroed] = 0.0
            np.testing.assert_array_equal(found[f"{name}.next"].reshape(-1), wanted)


@given(seed=st.integers(0, 2**20), remove_to=st.integers(0, 20), grow_to=st.integers(0, 20))
def test_counts_to_the_element_and_the_least_important_go(
    graph: harness.Graph, seed: int, remove_to: int, grow_to: int
) -> None:
    feeds = tensors(seed, ties=True, density=0.6)
    found = call(graph, feeds, [remove_to] * 2, [grow_to] * 2)
    for layer in LAYERS:
        before = feeds[f"{layer.name}.mask"] > 0
        after = found[f"{layer.name}.mask.next"] > 0
        stayed = min(int(before.sum()), remove_to)
        assert int(after.sum()) == max(stayed, grow_to)
        w, g1, g2 = (np.abs(feeds[layer.name + suffix]) for suffix in ("", ".g1", ".g2"))
        importance = (w + np.float32(ALPHA) * g1) + np.float32(BETA) * g2
        gone = before & ~after
        certainly_stayed = before & after & (found[f"{layer.name}.next"] != 0)
        if gone.any() and certainly_stayed.any():
            assert importance[gone].max() <= importance[certainly_stayed].min()
        assert not found[f"{layer.name}.next"][~before].any()


def test_enough_room_and_nothing_to_grow_changes_nothing(graph: harness.Graph) -> None:
    feeds = tensors(1, ties=False, density=0.5)
    found = call(graph, feeds, [24, 20], [0, 0])
    for name in ("conv.weight", "conv.weight.mask", "fc.weight", "fc.weight.exp_avg_sq"):
        np.testing.assert_array_equal(found[f"{name}.next"], feeds[name])


def test_everything_removed_and_everything_grown(graph: harness.Graph) -> None:
    feeds = tensors(2, ties=False, density=0.5)
    none = call(graph, feeds, [0, 0], [0, 0])
    assert not none["conv.weight.mask.next"].any()
    assert not none["conv.weight.next"].any()
    everything = call(graph, feeds, [24, 20], [24, 20])
    assert everything["fc.weight.mask.next"].all()
    renewed = call(graph, feeds, [0, 0], [24, 20])
    assert renewed["fc.weight.mask.next"].all()
    assert not renewed["fc.weight.next"].any()


def test_without_gradients_the_magnitude_decides(graph: harness.Graph) -> None:
    feeds = tensors(3, ties=False, density=1.0)
    feeds |= {f"{layer.name}.{g}": np.zeros(layer.shape, np.float32) for layer in LAYERS for g in ("g1", "g2")}
    found = call(graph, feeds, [10, 10], [10, 10])
    best = np.argsort(-np.abs(feeds["conv.weight"]).reshape(-1))[:10]
    assert set(np.flatnonzero(found["conv.weight.mask.next"])) == set(best)


def test_each_update_and_layer_grows_elsewhere() -> None:
    layers = (MaskedLayer("a", (200,)), MaskedLayer("b", (200,)))
    graph = harness.Graph(update_masks.build(layers, {}, Rule(0.5, 1.0), gradient_masks=False))
    zeros = {name: np.zeros(200, np.float32) for name in graph.inputs if name[0] in "ab"}
    masks = set()
    for key in (harness.key(0, 0), harness.key(0, 1), harness.key(1, 0)):
        found = call(graph, zeros, [0, 0], [50, 50], key)
        masks |= {found["a.mask.next"].tobytes(), found["b.mask.next"].tobytes()}
    assert len(masks) == 6


def test_one_weight() -> None:
    graph = harness.Graph(update_masks.build([MaskedLayer("w", (1, 1))], {}, Rule(0.5, 1.0), gradient_masks=True))
    one = {name: np.ones((1, 1), np.float32) for name in graph.inputs if name[0] == "w"}
    assert call(graph, one, [1], [1])["w.next"].tolist() == [[1.0]]
    assert call(graph, one, [0], [0])["w.mask.next"].tolist() == [[0.0]]
    assert call(graph, one, [0], [1])["w.next"].tolist() == [[0.0]]
