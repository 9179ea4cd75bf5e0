"""The plan of a model's sparsity, computed once behind the masks; all later phases and the manifest read it."""

import dataclasses
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.channels.plan import ChannelPlan, plan_of
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.plan.channels import channel_layers, space_levels
from sparcl_compile.plan.layers import Layer, group_levels, kept_at, weight_layers
from sparcl_compile.plan.rows import Rows, rows_of, updated_elements
from sparcl_compile.plan.schedule import (
    Schedule,
    channel_updates,
    group_updates,
    policy_levels,
    policy_updates,
    schedule_for,
)
from sparcl_compile.plan.unmasked import check_masks_nothing
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.policies import POLICIES, RANDOM, TDM, Policy, growth_of, policy_of, updates_measure
from sparcl_compile.settings.recipes import RECIPES, Recipe


@dataclasses.dataclass(frozen=True)
class SparsityPlan:
    """The kept weights of a model, per layer, channel space and row, at each level of the schedule.

    Attributes:
        recipe: the numbers of the way in which SparCL is run.
        masks: whether weights are sparse.
        gradient_masks: whether gradients are sparser than weights.
        layers: the masked weights in layer order; none where neither is sparse.
        channels: the channel masks, with the places that their units get; None under the other schemes.
        roles: by tensor on an axis of channels its role, where it is state.
        rows: by weight the output channels that are updated; none where gradient masks choose single weights.
        schedule: the counts and events of a task.
        policy: the way to choose masks.
        growth: how weights that grow are chosen.
        updates_measure: whether mask updates read gradients.
    """

    recipe: Recipe
    masks: bool
    gradient_masks: bool
    layers: tuple[Layer, ...]
    channels: ChannelPlan | None
    roles: Mapping[str, Role]
    rows: Mapping[str, Rows]
    schedule: Schedule
    policy: Policy = POLICIES[TDM]
    growth: str = RANDOM
    updates_measure: bool = True

    @property
    def places(self) -> dict[str, int]:
        """The number of places of each weight where it is compressed, by weight."""
        return {layer.weight: layer.places for layer in self.layers}

    @property
    def updated_places(self) -> dict[str, int]:
        """The number of places whose gradient is computed, by weight."""
        if not self.gradient_masks:
            return self.places
        return {layer.weight: min(layer.gradient_keep, layer.places) for layer in self.layers}

    @property
    def capacity(self) -> dict[str, int]:
        """The number of units that have a place in the tensors, by space."""
        spaces = self.channels.channels.spaces if self.channels else ()
        return {space.name: self.channels.capacity(space.name) for space in spaces if self.channels}


def plan_sparsity(masked: ir.Model, options: CompileOptions) -> SparsityPlan:
    """Plan a forward graph that has its masks, and its weights in their full shapes."""
    recipe, channels, policy = recipe_of(options), plan_of(masked), policy_of(options)
    if channels is None:
        layers = weight_layers(masked, options, recipe) if options.is_sparse else ()
        levels, updates = group_levels(layers), group_updates(recipe)
        if policy.name != TDM:
            levels = {name: kept_at(layers, level) for level, name in policy_levels(policy).items()}
            updates = policy_updates(policy)
    else:
        channels = channels.with_places(channels.counts) if options.fold else channels
        spaces = space_levels(channels, options, recipe)
        layers = channel_layers(channels, spaces, options)
        levels = {level: [*kept.values()] for level, kept in spaces.items()}
        updates = channel_updates(recipe) if policy.moves else ()
    if options.is_sparse and not layers:
        check_masks_nothing(masked, options)
    rows = rows_of(masked, layers, channels, options)
    layers = updated_elements(layers, rows) if rows else layers
    keep = [one.kept for one in rows.values()] or [layer.gradient_keep for layer in layers]
    return SparsityPlan(
        recipe=recipe,
        layers=layers,
        channels=channels,
        roles=_roles(masked, channels),
        rows=rows,
        schedule=schedule_for(levels, updates, keep, options),
        policy=policy,
        growth=growth_of(options),
        **_switches(options, layers),
    )


def _switches(options: CompileOptions, layers: Sequence[Layer]) -> dict[str, bool]:
    """What the options switch on, by field of the plan; nothing where no layer is masked."""
    wanted = {
        "masks": options.sparsity > 0.0,
        "gradient_masks": options.masks_gradients,
        "updates_measure": updates_measure(options),
    }
    return wanted if layers else dict.fromkeys(wanted, False)


def recipe_of(options: CompileOptions) -> Recipe:
    """The recipe; policies other than TDM measure one gradient, that of the loss that is trained."""
    recipe = RECIPES[options.recipe]
    if policy_of(options).name == TDM:
        return recipe
    return dataclasses.replace(recipe, merge_gradients=True, single_head=False)


def _roles(masked: ir.Model, channels: ChannelPlan | None) -> dict[str, Role]:
    values = {} if channels is None else {name: masked.graph.initializers[name] for name in channels.channels.axes}
    return {name: role for name, value in values.items() if (role := role_of(value))}
