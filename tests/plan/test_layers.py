"""Counts and events of the two recipes, from docs/algorithm.md."""

import dataclasses
import math
from collections.abc import Mapping

import hypothesis
import hypothesis.strategies as st
import pytest

from sparcl_compile.plan.layers import group_levels, layers_for
from sparcl_compile.plan.schedule import Schedule, group_updates, schedule_for
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.recipes import RECIPES
from tests.reference.config import Recipe
from tests.reference.schedule import layer_counts

SHAPES = {"a": (10, 10, 10), "b": (20, 50)}


def one(size: int, **options: object) -> tuple[int, int, int, int]:
    settings = CompileOptions(**options)
    (layer,) = layers_for({"w": (size,)}, settings, RECIPES[settings.recipe])
    return layer.base, layer.shrunk, layer.grown, layer.gradient_keep


def test_counts_by_hand() -> None:
    assert one(1000, sparsity=0.75) == (250, 245, 260, 200)
    assert one(1000, sparsity=0.75, recipe="reference-code") == (250, 240, 260, 200)
    assert one(10, sparsity=0.75) == (3, 2, 3, 2)  # 2.5 and 2.45 and 2.6, halves go up


def test_a_nearly_dense_layer_cannot_grow_beyond_all() -> None:
    assert one(1000, sparsity=0.005) == (995, 990, 1000, 200)
    assert one(1000, sparsity=0.0, gradient_sparsity=0.5) == (1000, 1000, 1000, 500)


def test_an_extremely_sparse_layer_keeps_half_of_it() -> None:
    assert one(10_000, sparsity=0.998, gradient_sparsity=0.999) == (20, 10, 30, 10)


NO_MASKS = [(0.8, 0.8), (0.8, 0.5), (0.8, 0.0), (1 - 11 / 20, 0.45), (0.0, 0.0)]


@pytest.mark.parametrize("distribution", ["uniform", "erk"])
@pytest.mark.parametrize(("sparsity", "gradient"), NO_MASKS)
def test_every_kept_weight_is_updated_where_a_mask_would_have_room_for_all(
    sparsity: float, gradient: float, distribution: str
) -> None:
    options = CompileOptions(sparsity=sparsity, gradient_sparsity=gradient, distribution=distribution)
    layers = layers_for(SHAPES, options, RECIPES["paper"])
    assert layers == layers_for(SHAPES, dataclasses.replace(options, gradient_sparsity=0.0), RECIPES["paper"])
    assert all(layer.updated == layer.base <= layer.gradient_keep for layer in layers)
    assert schedule(SHAPES, options).gradient_refresh_steps == 0


def test_a_layer_that_rounding_leaves_without_weights_updates_none() -> None:
    options = CompileOptions(scheme="kernel", sparsity=0.75, gradient_sparsity=0.76)
    (layer,) = layers_for({"w": (1, 1, 3, 3)}, options, RECIPES["paper"], {"w": "oikk"})
    assert (layer.base, layer.gradient_keep, layer.updated) == (0, 2, 0)


def test_erk_scales_the_gradients_with_the_density() -> None:
    options = CompileOptions(sparsity=0.8, distribution="erk", gradient_sparsity=0.9)
    for layer in layers_for({"wide": (64, 64, 3, 3), "narrow": (8, 8, 3, 3)}, options, RECIPES["paper"]):
        assert layer.gradient_keep == math.floor(min(1, 0.1 * layer.density / 0.2) * layer.size + 0.5)


@hypothesis.given(
    size=st.integers(1, 5000),
    sparsity=st.floats(0, 0.9999),
    gradient=st.floats(0, 0.9999),
    recipe=st.sampled_from(["paper", "reference-code"]),
)
def test_levels_are_always_in_order(size: int, sparsity: float, gradient: float, recipe: str) -> None:
    base, shrunk, grown, moving = one(size, sparsity=sparsity, gradient_sparsity=gradient, recipe=recipe)
    assert 0 <= shrunk <= base <= grown <= size
    assert 0 <= moving <= size


@hypothesis.given(
    size=st.integers(1, 100_000), thousandths=st.integers(0, 999), recipe=st.sampled_from(["paper", "reference-code"])
)
@hypothesis.example(size=10_000, thousandths=2, recipe="reference-code")
@hypothesis.example(size=10_000, thousandths=998, recipe="reference-code")
def test_counts_are_those_of_the_second_implementation(size: int, thousandths: int, recipe: Recipe) -> None:
    sparsity = thousandths / 1000
    wanted = layer_counts(size, sparsity, 0.0, recipe)
    assert one(size, sparsity=sparsity, recipe=recipe)[:3] == (wanted.base, wanted.shrunk, wanted.grown)


def schedule(shapes: Mapping[str, tuple[int, ...]], options: CompileOptions) -> Schedule:
    recipe = RECIPES[options.recipe]
    layers = layers_for(shapes, options, recipe)
    keep = [layer.gradient_keep for layer in layers]
    return schedule_for(group_levels(layers), group_updates(recipe), keep, options)


def events(recipe: str, **options: object) -> list[tuple[float, str, str, str]]:
    settings = CompileOptions(recipe=recipe, **options)
    updates = schedule(SHAPES, settings).mask_updates
    return [(update.at, update.tasks, update.remove_to, update.grow_to) for update in updates]


LATER = [(i / 10, "all", "shrunk", "base") for i in range(2, 10)]


def test_the_papers_events() -> None:
    assert events("paper") == [
        (0.0, "later", "size", "grown"),
        (0.1, "first", "shrunk", "base"),
        (0.1, "later", "base", "base"),
        *LATER,
    ]


def test_the_reference_codes_events() -> None:
    assert events("reference-code") == [(0.0, "later", "size", "grown"), (0.1, "all", "shrunk", "base"), *LATER]


def test_removal_is_spread_evenly_over_four_stages() -> None:
    options = CompileOptions(data_removal=0.4)
    removals = schedule({}, options).removals
    assert [removal.at for removal in removals] == [0.1, 0.2, 0.3, 0.4]
    assert [removal.removed for removal in removals] == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_what_is_turned_off_has_no_events() -> None:
    options = CompileOptions(sparsity=0.0, gradient_sparsity=0.0, data_removal=0.0)
    found = schedule(SHAPES, options)
    assert (found.mask_updates, found.removals, found.gradient_refresh_steps) == ((), (), 0)
    sparse = dataclasses.replace(options, gradient_sparsity=0.5)
    assert schedule(SHAPES, sparse).gradient_refresh_steps == 30
