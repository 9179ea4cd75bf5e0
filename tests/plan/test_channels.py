"""The schedule of channel masks: one count for each space, and exchanges that add up, from docs/algorithm.md."""

from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from sparcl_compile.interface.channels import Segment
from sparcl_compile.passes.analysis.channels.counts import unit_counts
from sparcl_compile.passes.analysis.channels.plan import ChannelPlan
from sparcl_compile.passes.analysis.channels.spaces import Channels, Space
from sparcl_compile.plan.channels import channel_layers, fan_in, space_levels
from sparcl_compile.plan.schedule import UPDATES, channel_updates, schedule_for
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.recipes import RECIPES


def plan(size: int, sparsity: float) -> ChannelPlan:
    """One weight [size, size] on two spaces of this size, with the first masks of this sparsity."""
    axes = {"w": {axis: (Segment(0, f"s{axis}", size, 1, 1),) for axis in (0, 1)}}
    channels = Channels(tuple(Space(f"s{axis}", size) for axis in (0, 1)), axes, {"w": 0}, {}, ())
    every, shapes = {space.name: np.arange(size) for space in channels.spaces}, {"w": (size, size)}
    kept = {name: np.arange(count) for name, count in unit_counts(channels, shapes, 1.0 - sparsity).items()}
    return ChannelPlan(channels, ("w",), shapes, kept, every)


def levels(size: int, **options: Any) -> dict[str, int]:
    settings = CompileOptions(scheme="channel", **options)
    found = space_levels(plan(size, settings.sparsity), settings, RECIPES[settings.recipe])
    return {level: counts["s0"] for level, counts in found.items()}


def moved(size: int, **options: Any) -> list[int]:
    """The units that each exchange of a task removes and grows."""
    found = levels(size, **options)
    return [found["base"] - found[f"exchange{i}"] for i in range(1, len(UPDATES) + 1)]


def test_counts_by_hand() -> None:
    # sqrt(0.25) of 400 units; sqrt(0.26) and sqrt(0.255) of them are 203.96 and 201.99.
    found = levels(400, sparsity=0.75, recipe="paper")
    assert (found["size"], found["base"], found["renewed"]) == (400, 200, 196)
    assert moved(400, sparsity=0.75, recipe="paper") == [2, 2, 2, 2, 2, 2, 2, 2, 2]


def test_a_small_space_is_exchanged_less_often_and_not_never() -> None:
    # sqrt(0.255) of 64 units is 32.32: every third exchange moves one.
    assert moved(64, sparsity=0.75, recipe="paper") == [0, 1, 0, 0, 1, 0, 0, 1, 0]


def test_a_single_unit_stays() -> None:
    found = levels(2, sparsity=0.9)
    assert set(found.values()) == {1, 2}
    assert (found["size"], found["base"], found["renewed"]) == (2, 1, 1)


@pytest.mark.parametrize(("recipe", "first"), [("paper", "first"), ("reference-code", "all")])
def test_a_later_task_begins_with_an_exchange(recipe: str, first: str) -> None:
    updates = channel_updates(RECIPES[recipe])
    found = [(update.at, update.tasks, update.remove_to) for update in updates]
    assert found[:3] == [(0.0, "later", "renewed"), (0.1, first, "exchange1"), (0.2, "all", "exchange2")]
    assert len(found) == 10
    assert {update.grow_to for update in updates} == {"base"}


def test_a_new_unit_reads_the_kept_units_of_the_other_axis() -> None:
    """Its first weights are drawn for so many inputs: half of 64 units are kept, the square root of a quarter."""
    assert fan_in(plan(64, 0.75)) == {"w": 32}


def test_a_dense_model_has_no_updates() -> None:
    options = CompileOptions(scheme="channel", sparsity=0.0)
    assert schedule_for({}, channel_updates(RECIPES["paper"]), [1], options).mask_updates == ()


@hypothesis.given(
    size=st.integers(1, 600), sparsity=st.floats(0.001, 0.999), recipe=st.sampled_from(["paper", "reference-code"])
)
def test_no_level_exceeds_base_and_the_exchanges_add_up(size: int, sparsity: float, recipe: str) -> None:
    found = levels(size, sparsity=sparsity, recipe=recipe)
    base = found["base"]
    assert all(1 <= count <= base <= size for level, count in found.items() if level != "size")
    exchanges = moved(size, sparsity=sparsity, recipe=recipe)
    assert max(exchanges) - min(exchanges) <= 1 or min(found[f"exchange{i}"] for i in range(1, 10)) == 1
    options, masks = CompileOptions(scheme="channel", sparsity=sparsity, recipe=recipe), plan(size, sparsity)
    (layer,) = channel_layers(masks, space_levels(masks, options, RECIPES[recipe]), options)
    assert layer.base == layer.grown == base**2
    assert layer.shrunk == (base - max([*exchanges, base - found["renewed"]])) ** 2
