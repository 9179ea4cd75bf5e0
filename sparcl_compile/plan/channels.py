"""The kept channels of each space at each level of the schedule, and what they mean for every weight."""

import math
from collections.abc import Mapping

from sparcl_compile.interface.channels import ChannelSpec, SpaceSpec
from sparcl_compile.interface.schedule import MaskUpdate, Recipe, Tasks
from sparcl_compile.passes.analysis.channels.counts import kept_shape, unit_counts, unit_share
from sparcl_compile.passes.analysis.channels.plan import ChannelPlan
from sparcl_compile.passes.schemes.cuts import Levels
from sparcl_compile.passes.schemes.density import count
from sparcl_compile.plan.layers import Layer, churn_and_expand
from sparcl_compile.plan.schedule import UPDATES
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.recipes import RECIPES

CHANNEL = "channel"
BASE = "base"
RENEWED = "renewed"


def channel_levels(plan: ChannelPlan, options: CompileOptions) -> dict[str, tuple[int, ...]]:
    """The schedule's ``levels``, one count a space (docs/algorithm.md, Channels)."""
    return {level: tuple(counts.values()) for level, counts in space_levels(plan, options).items()}


def channel_updates(options: CompileOptions) -> tuple[MaskUpdate, ...]:
    """The schedule's ``mask_updates``."""
    recipe = RECIPES[options.recipe]
    updates = [
        MaskUpdate(at, _tasks(number, recipe), _exchange(number), BASE) for number, at in enumerate(UPDATES, start=1)
    ]
    return (MaskUpdate(0.0, "later", RENEWED, BASE), *updates) if options.sparsity > 0.0 else ()


def space_levels(plan: ChannelPlan, options: CompileOptions) -> dict[str, dict[str, int]]:
    """By level the kept units of each space, in the order of the spaces."""
    churn, expand = churn_and_expand(1.0 - options.sparsity, RECIPES[options.recipe])
    base = space_counts(plan, options)
    churned, expanded = (_units_for(plan, options, share) for share in (churn, expand))
    return {
        "size": {space.name: space.size for space in plan.channels.spaces},
        BASE: base,
        RENEWED: {name: max(1, kept - count(expanded[name], 1)) for name, kept in base.items()},
        **{
            _exchange(number): {name: max(1, kept - _part(churned[name], number)) for name, kept in base.items()}
            for number in range(1, len(UPDATES) + 1)
        },
    }


def space_counts(plan: ChannelPlan, options: CompileOptions) -> dict[str, int]:
    """The kept units of each space, in the order of the spaces: one number, so that a folded tensor is never larger."""
    return unit_counts(plan.channels, _masked_shapes(plan), 1.0 - options.sparsity)


def _units_for(plan: ChannelPlan, options: CompileOptions, share: float) -> dict[str, float]:
    """By space the units, in fractions, that this share of the masked weights stands for at the density kept."""
    shapes, density = _masked_shapes(plan), 1.0 - options.sparsity
    more = unit_share(plan.channels, shapes, min(1.0, density + share)) - unit_share(plan.channels, shapes, density)
    return {space.name: more * space.size for space in plan.channels.spaces}


def _part(units: float, number: int) -> int:
    """What the exchange of this number moves, from 1: not each exchange is rounded but their sum over a task."""
    return count(units * number, 1) - count(units * (number - 1), 1)


def _exchange(number: int) -> str:
    return f"exchange{number}"


def _tasks(number: int, recipe: Recipe) -> Tasks:
    """Whose update this is: the paper's first one only ends the expansion of a later task, and here there is none."""
    return "all" if number > 1 or recipe.shrink_by_churn else "first"


def _masked_shapes(plan: ChannelPlan) -> dict[str, tuple[int, ...]]:
    return {name: plan.shapes[name] for name in plan.weights}


def channel_layers(plan: ChannelPlan, options: CompileOptions) -> tuple[Layer, ...]:
    """The masked weights with their kept elements; a gradient mask keeps a share of the full size, as elsewhere."""
    levels = space_levels(plan, options).values()
    lowest = {space.name: min(counts[space.name] for counts in levels) for space in plan.channels.spaces}
    return tuple(_layer(plan, name, lowest, options) for name in plan.weights)


def _layer(plan: ChannelPlan, name: str, lowest: Mapping[str, int], options: CompileOptions) -> Layer:
    shape, axes = plan.shapes[name], plan.channels.axes[name]
    size = math.prod(shape)
    base, shrunk = (math.prod(kept_shape(shape, axes, counts)) for counts in (space_counts(plan, options), lowest))
    density = base / size
    updated = min(1.0, (1.0 - options.gradient_sparsity) * density / (1.0 - options.sparsity))
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


def fan_in(plan: ChannelPlan, options: CompileOptions) -> dict[str, int]:
    """By weight with a produced axis the kept elements that feed one of its elements, at the level ``base``."""
    counts = space_counts(plan, options)
    made = {}
    for name in plan.weights:
        axes, produced = plan.channels.axes[name], plan.channels.produced.get(name)
        if produced in axes:
            shape = kept_shape(plan.shapes[name], axes, counts)
            made[name] = math.prod(size for axis, size in enumerate(shape) if axis != produced)
    return made


def channel_spec(plan: ChannelPlan, options: CompileOptions) -> ChannelSpec:
    """The manifest's ``channels``: the spaces, where their units lie, and what stopped the others."""
    base = space_counts(plan, options)
    spaces = (
        SpaceSpec(one.name, one.size, base[one.name], plan.capacity(one.name), _members(plan, one.name))
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
