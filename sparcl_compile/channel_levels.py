"""The kept channels of each space at each level of the schedule, and what they mean for every weight."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from sparcl_compile.options import CompileOptions
from sparcl_compile.passes.channels.counts import kept_shape, unit_counts
from sparcl_compile.passes.channels.plan import ChannelPlan
from sparcl_compile.passes.density import count
from sparcl_compile.passes.schemes.cuts import Levels
from sparcl_compile.recipes import RECIPES, Layer, churn_and_expand

CHANNEL = "channel"


def channel_densities(options: CompileOptions) -> dict[str, float]:
    """The density of the masked weights at the levels ``base``, ``shrunk`` and ``grown``."""
    density = 1.0 - options.sparsity
    churn, expand = churn_and_expand(density, RECIPES[options.recipe])
    return {"base": density, "shrunk": density - churn, "grown": density + expand}


def space_levels(plan: ChannelPlan, options: CompileOptions) -> dict[str, dict[str, int]]:
    """By level the kept units of each space, in the order of the spaces."""
    shapes = {name: plan.shapes[name] for name in plan.weights}
    found = {level: unit_counts(plan.channels, shapes, share) for level, share in channel_densities(options).items()}
    return {"size": {space.name: space.size for space in plan.channels.spaces}, **found}


def channel_schedule(plan: ChannelPlan, options: CompileOptions) -> dict[str, list[int]]:
    """The schedule's ``levels``: one count a space."""
    return {level: list(counts.values()) for level, counts in space_levels(plan, options).items()}


def channel_layers(plan: ChannelPlan, options: CompileOptions) -> tuple[Layer, ...]:
    """The masked weights with their kept elements; a gradient mask keeps a share of the full size, as elsewhere."""
    levels = space_levels(plan, options)
    return tuple(_layer(plan, name, levels, options) for name in plan.weights)


def _layer(plan: ChannelPlan, name: str, levels: Mapping[str, Mapping[str, int]], options: CompileOptions) -> Layer:
    shape, axes = plan.shapes[name], plan.channels.axes[name]
    kept = {level: math.prod(kept_shape(shape, axes, counts)) for level, counts in levels.items()}
    density = kept["base"] / kept["size"]
    updated = min(1.0, (1.0 - options.gradient_sparsity) * density / (1.0 - options.sparsity))
    return Layer(
        weight=name,
        shape=shape,
        scheme=CHANNEL,
        axes="",
        density=density,
        base=kept["base"],
        shrunk=kept["shrunk"],
        grown=kept["grown"],
        gradient_keep=count(updated, kept["size"]),
        groups=Levels(**kept),
    )


def fan_in(plan: ChannelPlan, options: CompileOptions) -> dict[str, int]:
    """By weight with a produced axis the kept elements that feed one of its elements, at the level ``base``."""
    counts = space_levels(plan, options)["base"]
    made = {}
    for name in plan.weights:
        axes, produced = plan.channels.axes[name], plan.channels.produced.get(name)
        if produced in axes:
            shape = kept_shape(plan.shapes[name], axes, counts)
            made[name] = math.prod(size for axis, size in enumerate(shape) if axis != produced)
    return made


def channels_entry(plan: ChannelPlan, options: CompileOptions) -> dict[str, Any]:
    """The manifest's ``channels``: the spaces, where their units lie, and what stopped the others."""
    levels = space_levels(plan, options)
    spaces = [
        {
            **dataclasses.asdict(space),
            "base": levels["base"][space.name],
            "capacity": plan.capacity(space.name),
            "members": _members(plan, space.name),
        }
        for space in plan.channels.spaces
    ]
    return {
        "folded": plan.folded,
        "spaces": spaces,
        "axes": {
            name: {str(axis): [dataclasses.asdict(one) for one in segments] for axis, segments in axes.items()}
            for name, axes in plan.channels.axes.items()
        },
        "stops": [dataclasses.asdict(stop) for stop in plan.channels.stops],
    }


def _members(plan: ChannelPlan, space: str) -> list[str]:
    """The weights that lose rows or columns with a space's units."""
    return [
        name
        for name in plan.weights
        if any(one.space == space for segments in plan.channels.axes[name].values() for one in segments)
    ]
