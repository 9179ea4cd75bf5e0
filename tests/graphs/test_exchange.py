"""The mask update of every scheme, against tests/reference/schemes.py and its invariants."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparcl_compile.graphs import update_masks
from sparcl_compile.graphs.masks import MaskedLayer, Rule
from sparcl_compile.passes.schemes.cuts import Cut, cut_for
from sparcl_compile.passes.sparsifying.insert_weight_masks import magnitude_mask
from tests.reference import schemes as reference
from tests.reference.masks import importance
from tests.support import harness

ALPHA, BETA = 0.5, 1.0
SHAPES = (((6, 3, 3, 3), "oikk"), ((5, 7), "io"), ((9, 4), "oi"), ((2, 3, 6), "bio"))
SCHEMES = ("block4x1", "kernel", "pattern", "2:4", "1:3", "3:5", "2:64")
EXAMPLES = settings(max_examples=25)

PATTERNS = {tuple(entry == "1" for entry in text) for text in reference.PATTERNS}


def cuts(scheme: str) -> list[Cut]:
    return [cut_for(scheme, shape, axes) for shape, axes in SHAPES]


@cache
def graph(scheme: str) -> harness.Graph:
    layers = [MaskedLayer(f"w{i}", SHAPES[i][0], cut) for i, cut in enumerate(cuts(scheme))]
    states = {layer.name: (f"{layer.name}.momentum",) for layer in layers}
    return harness.Graph(update_masks.build(layers, states, Rule(ALPHA, BETA), gradient_masks=True))


def tensors(seed: int, ties: bool) -> dict[str, harness.Array]:
    """Weights, gradients and momenta, without masks."""
    rng = np.random.default_rng(seed)
    feeds = {}
    for number, (shape, _) in enumerate(SHAPES):
        for suffix in ("", ".g1", ".g2", ".momentum"):
            values = rng.integers(-2, 3, shape) if ties else rng.normal(size=shape)
            feeds[f"w{number}{suffix}"] = values.astype(np.float32)
    return feeds


def masked(feeds: dict[str, harness.Array], scheme: str, kept: Sequence[int]) -> None:
    """The first masks of a number of groups, and weights that are 0 outside of them."""
    for number, cut in enumerate(cuts(scheme)):
        mask = magnitude_mask(feeds[f"w{number}"], kept[number], cut)
        feeds[f"w{number}.mask"] = mask
        feeds[f"w{number}"] = feeds[f"w{number}"] * mask


def check_mask(scheme: str, number: int, mask: harness.Array, kept: int) -> None:
    """A union of exactly ``kept`` groups; N of every M."""
    shape, axes = SHAPES[number]
    groups = reference.groups_of(scheme, shape, axes)
    rows = [mask.reshape(-1)[row[row >= 0]] > 0 for row in groups.members]
    if groups.kind == "n:m":
        assert [int(row.sum()) for row in rows] == reference.room(groups)
        return
    used = [row for row in rows if row.any()]
    assert len(used) == kept
    if groups.kind == "pattern":
        assert {tuple(row.tolist()) for row in used} <= PATTERNS
    else:
        assert all(row.all() for row in used)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_form(scheme: str) -> None:
    graph(scheme).check_form()


@pytest.mark.parametrize("scheme", SCHEMES)
@EXAMPLES
@given(seed=st.integers(0, 2**20), updates=st.integers(0, 2**33), ties=st.booleans(), data=st.data())
def test_equals_the_reference(scheme: str, seed: int, updates: int, ties: bool, data: st.DataObject) -> None:
    feeds = tensors(seed, ties)
    sizes = [cut.levels(0.4, 0.0, 0.0).size for cut in cuts(scheme)]
    kept = [data.draw(st.integers(0, size)) for size in sizes]
    masked(feeds, scheme, kept)
    remove_to = [data.draw(st.integers(-1, size + 1)) for size in sizes]
    grow_to = [data.draw(st.integers(-1, size + 1)) for size in sizes]
    counts = {"remove_to": np.array(remove_to, np.int64), "grow_to": np.array(grow_to, np.int64)}
    found = graph(scheme)({**feeds, **counts, "key": harness.key(seed, updates)})
    for number, (shape, axes) in enumerate(SHAPES):
        w, g1, g2, mask = (feeds[f"w{number}{suffix}"].reshape(-1) for suffix in ("", ".g1", ".g2", ".mask"))
        new, touched = reference.update_mask(
            reference.groups_of(scheme, shape, axes),
            mask > 0,
            importance(w, g1, g2, ALPHA, BETA),
            (max(remove_to[number], 0), grow_to[number]),
            (seed, updates, number),
        )
        np.testing.assert_array_equal(found[f"w{number}.mask.next"].reshape(-1) > 0, new)
        np.testing.assert_array_equal(found[f"w{number}.gradient_mask.next"], found[f"w{number}.mask.next"])
        for name in (f"w{number}", f"w{number}.momentum"):
            wanted = np.where(touched, 0, feeds[name].reshape(-1))
            np.testing.assert_array_equal(found[f"{name}.next"].reshape(-1), wanted)


@pytest.mark.parametrize("scheme", SCHEMES)
@EXAMPLES
@given(seed=st.integers(0, 2**20), density=st.sampled_from([0.1, 0.3, 0.44]))
def test_every_update_of_a_schedule_leaves_whole_groups_in_the_counts_it_says(
    scheme: str, seed: int, density: float
) -> None:
    feeds = tensors(seed, ties=False)
    levels = [cut.levels(density, density / 2, 0.1) for cut in cuts(scheme)]
    masked(feeds, scheme, [level.base for level in levels])
    events = [("size", "grown"), ("base", "base"), ("shrunk", "base"), ("shrunk", "base")]
    for number in range(len(SHAPES)):
        check_mask(scheme, number, feeds[f"w{number}.mask"], levels[number].base)
    for update, (remove_to, grow_to) in enumerate(events):
        counts = {
            name: np.array([getattr(one, level) for one in levels], np.int64)
            for name, level in (("remove_to", remove_to), ("grow_to", grow_to))
        }
        found = graph(scheme)({**feeds, **counts, "key": harness.key(seed, update)})
        for number, level in enumerate(levels):
            mask = found[f"w{number}.mask.next"]
            check_mask(scheme, number, mask, max(getattr(level, grow_to), 0))
            assert not found[f"w{number}.next"][mask == 0].any()
            feeds |= {name: found[f"{name}.next"] for name in (f"w{number}", f"w{number}.mask")}


def test_a_kernel_that_stays_keeps_its_pattern() -> None:
    feeds = tensors(3, ties=False)
    masked(feeds, "pattern", [10, 20, 20, 20])
    # Gradients beyond the pattern must not count, however large they are.
    feeds["w0.g1"] = np.where(feeds["w0.mask"] > 0, feeds["w0.g1"], np.float32(100))
    counts = {"remove_to": np.array([9, 20, 20, 20]), "grow_to": np.array([10, 20, 20, 20])}
    found = graph("pattern")({**feeds, **counts, "key": harness.key(0)})
    before, after = (x.reshape(-1, 9) > 0 for x in (feeds["w0.mask"], found["w0.mask.next"]))
    assert (before == after).all(axis=1).sum() >= 16
    renewed = found["w0.next"].reshape(-1, 9).any(axis=1)
    assert renewed.sum() == 9
    np.testing.assert_array_equal(before[renewed], after[renewed])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_to_remove_and_nothing_to_grow_changes_nothing(scheme: str) -> None:
    feeds = tensors(1, ties=False)
    levels = [cut.levels(0.4, 0.0, 0.0) for cut in cuts(scheme)]
    masked(feeds, scheme, [level.base for level in levels])
    counts = {"remove_to": np.array([level.size for level in levels]), "grow_to": np.zeros(len(levels), np.int64)}
    found = graph(scheme)({**feeds, **counts, "key": harness.key(1)})
    for name in ("w0", "w1", "w2", "w3", "w0.mask", "w1.mask", "w3.momentum"):
        np.testing.assert_array_equal(found[f"{name}.next"], feeds[name])
