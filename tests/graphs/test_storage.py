"""Mask updates of compressed weights: to the bit what the masked layer gives, in every scheme."""

import dataclasses
import math
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from sparcl_compile.graphs import update_masks
from sparcl_compile.graphs.masks import MaskedLayer, Rule
from sparcl_compile.passes.schemes.compressed import compress, decompress
from sparcl_compile.passes.schemes.cuts import Levels, NOfM, cut_for
from sparcl_compile.passes.sparsifying.insert_weight_masks import magnitude_mask
from tests.support import harness

ALPHA, BETA, DENSITY, CHURN, EXPAND = 0.5, 1.0, 0.4, 0.2, 0.04
SHAPES = (((6, 3, 3, 3), "oikk"), ((7, 5), "oi"), ((9, 4), "oi"), ((5, 1, 2, 2), "oikk"))
MASKED = 2
"""This layer stays masked, so that one graph holds both forms."""

SCHEMES = ("unstructured", "block4x1", "kernel", "pattern", "2:4", "3:5")
STATES = (("momentum",), ("exp_avg", "exp_avg_sq"), ("momentum",), ())
GARBAGE = np.float32("nan")
"""Content of the padding of gradients and states: a compressed layer must not read it."""

EXAMPLES = settings(max_examples=20)
SCHEDULES = settings(max_examples=5)
Feeds = dict[str, harness.Array]


def layers(scheme: str) -> list[MaskedLayer]:
    return [MaskedLayer(f"w{i}", shape, cut_for(scheme, shape, axes)) for i, (shape, axes) in enumerate(SHAPES)]


def levels(scheme: str) -> list[Levels]:
    return [layer.groups.levels(DENSITY, CHURN, EXPAND) for layer in layers(scheme)]


def stored(scheme: str) -> list[MaskedLayer]:
    """The same layers, with room for what the schedule grows."""
    return [
        layer if number == MASKED else dataclasses.replace(layer, places=layer.groups.most(level.grown))
        for number, (layer, level) in enumerate(zip(layers(scheme), levels(scheme), strict=True))
    ]


def build(forms: list[MaskedLayer]) -> harness.Graph:
    states = {layer.name: [f"{layer.name}.{s}" for s in STATES[int(layer.name[1:])]] for layer in forms}
    return harness.Graph(update_masks.build(forms, states, Rule(ALPHA, BETA), gradient_masks=True))


@cache
def graphs(scheme: str) -> tuple[harness.Graph, harness.Graph]:
    """The update over masked layers, and the one over the mixture."""
    return build(layers(scheme)), build(stored(scheme))


def full_tensors(rng: np.random.Generator, layer: MaskedLayer, mask: harness.Array, ties: bool) -> Feeds:
    """The feeds of a masked layer; gradients are there outside of the mask as well."""
    number = int(layer.name[1:])
    feeds: Feeds = {f"{layer.name}.mask": mask}
    for suffix in ("", ".g1", ".g2", *(f".{state}" for state in STATES[number])):
        values = rng.integers(-2, 3, layer.shape) if ties else rng.normal(size=layer.shape)
        feeds[layer.name + suffix] = values.astype(np.float32)
    for name in (layer.name, *(f"{layer.name}.{state}" for state in STATES[number])):
        feeds[name] *= mask
    return feeds


def compressed(layer: MaskedLayer, full: Feeds) -> Feeds:
    """The feeds of the layer as it is stored."""
    if layer.places is None:
        return full
    mask = full[f"{layer.name}.mask"]
    feeds: Feeds = {}
    for name in full.keys() - {f"{layer.name}.mask"}:
        values, index, rows = compress(full[name], mask, layer.places)
        values[rows[-1] :] = GARBAGE
        feeds |= {name: values, f"{layer.name}.index": index, f"{layer.name}.rows": rows}
    return feeds


def check(layer: MaskedLayer, found: Feeds, wanted: Feeds) -> None:
    """Everything that the update of a stored layer gives, from what it gives for the masked one."""
    mask = wanted[f"{layer.name}.mask.next"]
    states = [f"{layer.name}.{state}" for state in STATES[int(layer.name[1:])]]
    if layer.places is None:
        for name in (layer.name, f"{layer.name}.mask", f"{layer.name}.gradient_mask", *states):
            np.testing.assert_array_equal(found[f"{name}.next"], wanted[f"{name}.next"], err_msg=name)
        return
    for name in (layer.name, *states):
        values, index, rows = compress(wanted[f"{name}.next"], mask, layer.places)
        assert found[f"{name}.next"].tobytes() == values.tobytes(), name
    np.testing.assert_array_equal(found[f"{layer.name}.index.next"], index)
    np.testing.assert_array_equal(found[f"{layer.name}.rows.next"], rows)
    np.testing.assert_array_equal(found[f"{layer.name}.gradient_mask.next"], np.arange(layer.places) < rows[-1])


def both(scheme: str, full: Feeds, remove_to: list[int], grow_to: list[int], key: harness.Array) -> tuple[Feeds, Feeds]:
    """Check the results of both graphs against each other and return them."""
    shared = {"remove_to": np.array(remove_to, np.int64), "grow_to": np.array(grow_to, np.int64), "key": key}
    masked, mixed = graphs(scheme)
    feeds: Feeds = {}
    for layer in stored(scheme):
        feeds |= compressed(layer, {n: v for n, v in full.items() if n.split(".")[0] == layer.name})
    wanted, found = masked({**full, **shared}), mixed({**feeds, **shared})
    for layer in stored(scheme):
        check(layer, found, wanted)
    return wanted, found


@pytest.mark.parametrize("scheme", SCHEMES)
def test_form(scheme: str) -> None:
    graph = graphs(scheme)[1]
    graph.check_form()
    inputs, outputs = graph.signature()
    places = [layer.places for layer in stored(scheme)]
    assert [name for name in inputs if name.endswith(".mask")] == ["w2.mask"]
    for name in ("w1", "w1.g1", "w1.g2", "w1.exp_avg", "w1.exp_avg_sq"):
        assert inputs[name] == f"float[{places[1]}]"
    for name in ("w1", "w1.gradient_mask", "w1.exp_avg"):
        assert outputs[f"{name}.next"] == f"float[{places[1]}]"
    assert inputs["w1.index"] == outputs["w1.index.next"] == f"int32[{places[1]}]"
    assert inputs["w1.rows"] == outputs["w1.rows.next"] == "int32[8]"


@pytest.mark.parametrize("scheme", SCHEMES)
@EXAMPLES
@given(seed=st.integers(0, 2**20), updates=st.integers(0, 2**33), ties=st.booleans(), data=st.data())
def test_the_same_to_the_bit_as_masked(scheme: str, seed: int, updates: int, ties: bool, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    full: Feeds = {}
    for layer, level in zip(layers(scheme), levels(scheme), strict=True):
        kept = data.draw(st.sampled_from([0, 1, level.base, level.grown]))
        importance = rng.random(layer.shape).astype(np.float32)
        full |= full_tensors(rng, layer, magnitude_mask(importance, kept, layer.cut), ties)
    remove_to = [data.draw(st.integers(-1, level.grown + 1)) for level in levels(scheme)]
    grow_to = [data.draw(st.one_of(st.integers(-1, level.grown), st.just(level.grown))) for level in levels(scheme)]
    both(scheme, full, remove_to, grow_to, harness.key(seed, updates))


@pytest.mark.parametrize("scheme", SCHEMES)
@SCHEDULES
@given(seed=st.integers(0, 2**20))
def test_grown_to_the_last_place_and_shrunk_again(scheme: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = {
        layer.name: magnitude_mask(rng.random(layer.shape).astype(np.float32), level.base, layer.cut)
        for layer, level in zip(layers(scheme), levels(scheme), strict=True)
    }
    events = [("size", "grown"), ("base", "base"), ("shrunk", "base"), ("size", "grown"), ("shrunk", "base")]
    for update, (remove_to, grow_to) in enumerate(events):
        full: Feeds = {}
        for layer in layers(scheme):
            full |= full_tensors(rng, layer, masks[layer.name], ties=False)
        counts = [[getattr(level, name) for level in levels(scheme)] for name in (remove_to, grow_to)]
        wanted, found = both(scheme, full, *counts, harness.key(seed, update))
        masks = {name: wanted[f"{name}.mask.next"] for name in masks}
        room = {layer.name: layer.places for layer in stored(scheme)}
        if grow_to == "grown":
            assert found["w0.rows.next"][-1] == room["w0"] or scheme == "block4x1"


MEASURED = {"tdm": Rule(ALPHA, BETA, by_gradient=True), "rigl": Rule(0.0, None, by_gradient=True)}
"""Rules by which weights grow that have no place, so that the gradients of all are measured."""
MATRIX = (6, 10)


@cache
def growing(scheme: str, rule: str) -> tuple[MaskedLayer, harness.Graph, harness.Graph]:
    """A matrix [I, O] in the compressed form, and its updates as a masked and as a compressed layer."""
    cut = cut_for(scheme, MATRIX, "io")
    masked = MaskedLayer("w1", MATRIX, cut, output_axis=1)
    places = masked.groups.most(masked.groups.levels(DENSITY, CHURN, EXPAND).grown)
    layer = dataclasses.replace(masked, places=places, all_measured=True)
    made = (update_masks.build([one], {"w1": ["w1.momentum"]}, MEASURED[rule], True) for one in (masked, layer))
    return (layer, *(harness.Graph(one) for one in made))


@pytest.mark.parametrize("rule", MEASURED)
@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if scheme != "pattern"])
@EXAMPLES
@given(seed=st.integers(0, 2**20), ties=st.booleans(), kept=st.sampled_from(["none", "base", "grown"]))
def test_weights_without_a_place_grow_as_masked_ones_do(
    scheme: str, rule: str, seed: int, ties: bool, kept: str
) -> None:
    layer, masked, stored_graph = growing(scheme, rule)
    level, rng = layer.groups.levels(DENSITY, CHURN, EXPAND), np.random.default_rng(seed)
    number = {"none": 0, "base": level.base, "grown": level.grown}[kept]
    mask = magnitude_mask(rng.random(MATRIX).astype(np.float32), number, layer.cut)
    full: Feeds = {"w1.mask": mask}
    for name in ("w1", "w1.momentum", "w1.g1", "w1.g2"):
        full[name] = (rng.integers(-2, 3, MATRIX) if ties else rng.normal(size=MATRIX)).astype(np.float32)
    for name in ("w1", "w1.momentum"):
        full[name] *= mask
    shared = {"remove_to": [level.shrunk], "grow_to": [level.grown], "key": harness.key(seed, 3)}
    feeds: Feeds = {f"w1.{one}": np.ascontiguousarray(full[f"w1.{one}"].T).reshape(-1) for one in ("g1", "g2")}
    for name in ("w1", "w1.momentum"):
        values, index, rows = compress(full[name].T, mask.T, int(layer.places or 0))
        values[rows[-1] :] = GARBAGE
        feeds |= {name: values, "w1.index": index, "w1.rows": rows}
    wanted = masked({name: one for name, one in {**full, **shared}.items() if name in masked.inputs})
    found = stored_graph({name: one for name, one in {**feeds, **shared}.items() if name in stored_graph.inputs})
    after = wanted["w1.mask.next"].T
    for name in ("w1", "w1.momentum"):
        values, index, rows = compress(wanted[f"{name}.next"].T, after, int(layer.places or 0))
        assert found[f"{name}.next"].tobytes() == values.tobytes(), name
        np.testing.assert_array_equal(found["w1.index.next"], index)
        np.testing.assert_array_equal(found["w1.rows.next"], rows)


def single(places: int, shape: tuple[int, ...] = (4, 6)) -> harness.Graph:
    return harness.Graph(update_masks.build([MaskedLayer("w", shape, places=places)], {}, Rule(ALPHA, BETA), True))


def feeds_of(weight: harness.Array, mask: harness.Array, places: int, remove_to: int, grow_to: int) -> Feeds:
    values, index, rows = compress(weight.astype(np.float32), mask, places)
    zeros = np.zeros(places, np.float32)
    state = {"w": values, "w.index": index, "w.rows": rows, "w.g1": zeros, "w.g2": zeros}
    return {**state, "remove_to": np.array([remove_to]), "grow_to": np.array([grow_to]), "key": harness.key(3)}


def test_outputs_without_a_weight_have_empty_rows() -> None:
    weight, mask = np.arange(24.0).reshape(4, 6), np.zeros((4, 6), np.float32)
    mask[2, [1, 5]] = 1
    found = single(3)(feeds_of(weight, mask, 3, 1, 0))
    assert found["w.next"].tolist() == [17, 0, 0]
    assert found["w.index.next"].tolist() == [17, 0, 0]
    assert found["w.rows.next"].tolist() == [0, 0, 0, 1, 1]
    assert found["w.gradient_mask.next"].tolist() == [1, 0, 0]


def test_nothing_is_kept_and_then_every_place_is_grown() -> None:
    weight = np.arange(24.0).reshape(4, 6)
    graph = single(5)
    none = graph(feeds_of(weight, weight > 20, 5, 0, 0))
    assert not any(none[name].any() for name in none)
    grown = graph(feeds_of(weight, np.zeros_like(weight), 5, 0, 5))
    assert grown["w.rows.next"][-1] == 5
    assert grown["w.gradient_mask.next"].all()
    assert not grown["w.next"].any()
    assert (np.diff(grown["w.index.next"]) > 0).all()


def test_every_weight_can_have_a_place() -> None:
    weight = 1.0 + np.arange(24.0).reshape(4, 6)
    found = single(24)(feeds_of(weight, np.ones_like(weight), 24, 24, 24))
    again, _ = decompress(found["w.next"], found["w.index.next"], found["w.rows.next"], (4, 6))
    np.testing.assert_array_equal(again, weight)


def test_a_live_weight_of_zero_keeps_its_place() -> None:
    weight = np.zeros((4, 6))
    mask = np.zeros((4, 6), np.float32)
    mask[0, :3] = 1
    found = single(4)(feeds_of(weight, mask, 4, 3, 3))
    assert found["w.index.next"].tolist() == [0, 1, 2, 0]
    assert found["w.rows.next"].tolist() == [0, 3, 3, 3, 3]


@pytest.mark.parametrize("too_many", [1, 2, 19])
def test_more_weights_than_places_fail_and_none_is_lost(too_many: int) -> None:
    graph, weight = single(5), np.zeros((4, 6))
    feeds = feeds_of(weight, weight, 5, 0, 5 + too_many)
    with pytest.raises(Exception, match=r"cannot be reshaped"):
        graph(feeds)
    with pytest.raises(ValueError, match="cannot reshape"):
        ReferenceEvaluator(graph.proto).run(None, feeds)


@pytest.mark.parametrize("places", [-1, 0, 25])
def test_no_place_and_more_places_than_weights_are_refused(places: int) -> None:
    with pytest.raises(ValueError, match=f"w: {places} places for 24 weights"):
        MaskedLayer("w", (4, 6), places=places)


def test_outputs_on_another_axis_are_refused() -> None:
    with pytest.raises(ValueError, match="w: outputs on axis 1"):
        MaskedLayer("w", (4, 6, 3, 3), output_axis=1, places=3)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_room_for_a_level_is_what_its_groups_can_hold(scheme: str) -> None:
    for layer in layers(scheme):
        cut, size = layer.groups, layer.groups.levels(0.4, 0.0, 0.0).size
        for kept in {0, 1, size // 3, size // 2, size}:
            # Importance falls with the output, so the smaller last blocks come last.
            falling = np.arange(layer.size, 0, -1, dtype=np.float32).reshape(layer.shape)
            first = magnitude_mask(falling, kept, cut)
            assert isinstance(cut, NOfM) or first.sum() == cut.most(kept)
            assert cut.elements(kept) <= cut.most(kept)


@pytest.mark.parametrize("scheme", ["unstructured", "block4x1", "kernel"])
def test_a_session_holds_no_full_tensor(scheme: str, tmp_path: Path) -> None:
    """Whatever ONNX Runtime can compute when it loads the graph, it keeps as long as the session lives."""
    shape, places = (40, 30, 3, 3), 2160
    layer = MaskedLayer("w", shape, cut_for(scheme, shape, "oikk"), places=places)
    graph = harness.Graph(update_masks.build([layer], {"w": ["w.momentum"]}, Rule(ALPHA, BETA), True))
    options = ort.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "optimized.onnx"), 3
    ort.InferenceSession(graph.proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    constants = onnx.load(tmp_path / "optimized.onnx").graph.initializer
    assert max(math.prod(constant.dims) for constant in constants) < places
