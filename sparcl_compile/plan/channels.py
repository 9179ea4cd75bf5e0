"""The kept channels of each space at each level of the schedule, and the kept weights that follow from them."""

import math
from collections.abc import Mapping

from sparcl_compile.interface.channels import ChannelSpec, SpaceSpec
from sparcl_compile.passes.analysis.channels.counts import kept_shape, unit_share
from sparcl_compile.passes.analysis.channels.plan import ChannelPlan
from sparcl_compile.passes.schemes.cuts import Levels
from sparcl_compile.passes.schemes.density import count
from sparcl_compile.plan.layers import Layer
from sparcl_compile.plan.schedule import BASE, RENEWED, SIZE, UPDATES, exchange
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.recipes import Recipe, churn_and_expand

CHANNEL = "channel"

SpaceLevels = Mapping[str, Mapping[str, int]]
"""The kept units of each space in the order of the spaces, by level."""


def space_levels(plan: ChannelPlan, options: CompileOptions, recipe: Recipe) -> SpaceLevels:
    """The levels of docs/algorithm.md, Channels. The first masks are at ``base``."""
    churn, expand = churn_and_expand(options.density, recipe)
    churned, expanded = (_units_for(plan, options.density, share) for share in (churn, expand))
    return {
        SIZE: {space.name: space.size for space in plan.channels.spaces},
        BASE: plan.counts,
        RENEWED: {name: max(1, kept - count(expanded[name], 1)) for name, kept in plan.counts.items()},
        **{
            exchange(number): {name: max(1, kept - _part(churned[name], number)) for name, kept in plan.counts.items()}
            for number in range(1, len(UPDATES) + 1)
        },
    }


def _units_for(plan: ChannelPlan, density: float, share: float) -> dict[str, float]:
    """The units, in fractions, that this share of the masked weights stands for at the density kept, by space."""
    shapes = {name: plan.shapes[name] for name in plan.weights}
    more = unit_share(plan.channels, shapes, min(1.0, density + share)) - unit_share(plan.channels, shapes, density)
    return {space.name: more * space.size for space in plan.channels.spaces}


def _part(units: float, number: int) -> int:
    """The units that an exchange moves, by its number from 1: the sum over a task is rounded, not each exchange."""
    return count(units * number, 1) - count(units * (number - 1), 1)


def channel_layers(plan: ChannelPlan, levels: SpaceLevels, options: CompileOptions) -> tuple[Layer, ...]:
    """The masked weights with their kept elements; a gradient mask keeps a share of the full size, as elsewhere."""
    lowest = {space.name: min(counts[space.name] for counts in levels.values()) for space in plan.channels.spaces}
    return tuple(_layer(plan, name, lowest, options) for name in plan.weights)


def _layer(plan: ChannelPlan, name: str, lowest: Mapping[str, int], options: CompileOptions) -> Layer:
    shape, axes = plan.shapes[name], plan.channels.axes[name]
    size = math.prod(shape)
    base, shrunk = (math.prod(kept_shape(shape, axes, counts)) for counts in (plan.counts, lowest))
    density = base / size
    updated = min(1.0, options.gradient_density * density / options.density)
    return Layer(
        weight=name,
        shape=shape,
        scheme=CHANNEL,
        axes="",
        density=density,
        base=base,
        shrunk=shrunk,
        grown=base,
        gradient_keep=count(updated, size),
        groups=Levels(size, base, shrunk, base),
    )


def fan_in(plan: ChannelPlan) -> dict[str, int]:
    """The kept elements that feed one element of a produced axis at the level ``base``, by weight."""
    made = {}
    for name in plan.weights:
        axes, produced = plan.channels.axes[name], plan.channels.produced.get(name)
        if produced in axes:
            shape = kept_shape(plan.shapes[name], axes, plan.counts)
            made[name] = math.prod(size for axis, size in enumerate(shape) if axis != produced)
    return made


def channel_spec(plan: ChannelPlan) -> ChannelSpec:
    """The manifest's ``channels``: the spaces, where their units lie, and what stopped the others."""
    spaces = (
        SpaceSpec(one.name, one.size, plan.counts[one.name], plan.capacity(one.name), _members(plan, one.name))
        for one in plan.channels.spaces
    )
    return ChannelSpec(plan.folded, tuple(spaces), plan.channels.axes, plan.channels.stops)


def _members(plan: ChannelPlan, space: str) -> tuple[str, ...]:
    """The weights that lose rows or columns with a space's units."""
    return tuple(
        name
        for name in plan.weights
        if any(one.space == space for segments in plan.channels.axes[name].values() for one in segments)
    )
