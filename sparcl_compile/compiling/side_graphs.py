"""Which stand-alone graphs an artifact holds, and with what numbers."""

import dataclasses
from collections.abc import Sequence

import onnx_ir as ir

from sparcl_compile.graphs import (
    augment,
    buffer_slots,
    draw_replay,
    filter_samples,
    normalise,
    order,
    score,
    update_channels,
    update_gradient_masks,
    update_masks,
)
from sparcl_compile.graphs.masks import MaskedLayer
from sparcl_compile.graphs.normalise import Layout
from sparcl_compile.interface.names import Role, index_name
from sparcl_compile.passes.analysis.channels.plan import plan_of
from sparcl_compile.passes.core.marks import COMPRESSED_KEY, OPTIMIZER_KEY
from sparcl_compile.passes.core.roles import role_of, values_with_role
from sparcl_compile.passes.differentiating.attach_optimizer import optimizer_states
from sparcl_compile.passes.lowering.sparse.expand import TRANSPOSED
from sparcl_compile.plan.channels import fan_in
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.plan.layers import Layer
from sparcl_compile.plan.rows import rows_of
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.recipes import RECIPES

COLOURS = (1, 3, 4)
"""Channel counts by which a channels-last input is told from a channels-first one."""


def layout_of(shape: Sequence[int | None]) -> Layout:
    """How the model takes an image: [C, H, W], [H, W, C] or as one vector; ``shape`` is without the batch."""
    if len(shape) == 1:
        return "flat"
    channels_last = len(shape) == 3 and shape[2] in COLOURS and shape[0] not in COLOURS
    return "NHWC" if channels_last else "NCHW"


def side_graphs(
    compiled: Compiled, options: CompileOptions, layers: Sequence[Layer], layout: Layout
) -> dict[str, ir.Model]:
    """The graphs beside train, eval and optimizer, by name (docs/interfaces.md).

    Mask graphs are there when the weights are sparse, gradient mask graphs when the gradients are.
    """
    recipe = RECIPES[options.recipe]
    graphs = {
        "order": order.build(),
        "filter_samples": filter_samples.build(recipe.score),
        "augment": augment.build(layout),
        "normalise": normalise.build(layout),
        "buffer_slots": buffer_slots.build(),
        "draw_replay": draw_replay.build(),
        "score": score.build(),
    }
    masked = _masked(compiled, layers)
    rows = rows_of(compiled, options, layers)
    if rows:
        masked = [
            dataclasses.replace(one, output_axis=r.axis, rows=r.kept if r.computed else None)
            for one, r in zip(masked, rows.values(), strict=True)
        ]
    dgm = options.gradient_sparsity > 0.0
    if masked and options.sparsity > 0.0:
        graphs["update_masks"] = _update_masks(compiled, options, masked, dgm)
    if masked and dgm:
        graphs["update_gradient_masks"] = update_gradient_masks.build(masked, recipe.alpha, recipe.beta, bool(rows))
    return graphs


def _masked(compiled: Compiled, layers: Sequence[Layer]) -> list[MaskedLayer]:
    """The layers as they are stored; channels are no groups of one weight."""
    plan = plan_of(compiled.forward)
    if plan is None:
        return [_stored(compiled.forward, layer) for layer in layers]
    return [MaskedLayer(layer.weight, plan.stored_shape(layer.weight)) for layer in layers]


def _stored(forward: ir.Model, layer: Layer) -> MaskedLayer:
    if index_name(layer.weight) not in forward.graph.initializers:
        return MaskedLayer(layer.weight, layer.shape, layer.cut)
    turned = forward.graph.initializers[layer.weight].metadata_props[COMPRESSED_KEY] == TRANSPOSED
    return MaskedLayer(layer.weight, layer.shape, layer.cut, output_axis=int(turned), places=layer.places)


def _update_masks(
    compiled: Compiled, options: CompileOptions, masked: Sequence[MaskedLayer], gradient_masks: bool
) -> ir.Model:
    recipe, plan = RECIPES[options.recipe], plan_of(compiled.forward)
    variant = compiled.training.metadata_props[OPTIMIZER_KEY]
    if plan is None:
        states = {layer.name: optimizer_states(variant, layer.name) for layer in masked}
        return update_masks.build(masked, states, recipe.alpha, recipe.beta, gradient_masks)
    values = {name: compiled.forward.graph.initializers[name] for name in plan.channels.axes}
    roles = {name: role for name, value in values.items() if (role := role_of(value))}
    trained = [str(value.name) for value in values_with_role(compiled.training, Role.PARAMETER)]
    states = {name: optimizer_states(variant, name) for name in trained}
    fans = fan_in(plan, options)
    return update_channels.build(plan, roles, states, fans, recipe.alpha, recipe.beta, gradient_masks)
