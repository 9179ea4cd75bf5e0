"""Which stand-alone graphs an artifact holds, and with what numbers."""

import dataclasses
from collections.abc import Container

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
from sparcl_compile.interface.names import index_name
from sparcl_compile.passes.core.marks import COMPRESSED_KEY
from sparcl_compile.passes.lowering.sparse.expand import TRANSPOSED
from sparcl_compile.plan.channels import fan_in
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.plan.layers import Layer
from sparcl_compile.plan.plan import SparsityPlan
from sparcl_compile.plan.rows import Rows


def side_graphs(compiled: Compiled) -> dict[str, ir.Model]:
    """The graphs beside train, eval and optimizer, by name (docs/interfaces.md).

    Mask graphs are there when the weights are sparse, gradient mask graphs when the gradients are.
    """
    plan = compiled.plan
    graphs = {
        "order": order.build(),
        "filter_samples": filter_samples.build(plan.recipe.score),
        "augment": augment.build(compiled.layout),
        "normalise": normalise.build(compiled.layout),
        "buffer_slots": buffer_slots.build(),
        "draw_replay": draw_replay.build(),
        "score": score.build(),
    }
    return {**graphs, **_mask_graphs(compiled, plan)}


def _mask_graphs(compiled: Compiled, plan: SparsityPlan) -> dict[str, ir.Model]:
    masked, alpha, beta = _masked(compiled, plan), plan.recipe.alpha, plan.recipe.beta
    graphs = {}
    if masked and plan.masks and plan.channels is not None:
        states, fans = compiled.optimizer_states, fan_in(plan.channels)
        graphs["update_masks"] = update_channels.build(
            plan.channels, plan.roles, states, fans, alpha, beta, plan.gradient_masks
        )
    elif masked and plan.masks:
        graphs["update_masks"] = update_masks.build(masked, compiled.optimizer_states, alpha, beta, plan.gradient_masks)
    if masked and plan.gradient_masks:
        graphs["update_gradient_masks"] = update_gradient_masks.build(masked, alpha, beta, bool(plan.rows))
    return graphs


def _masked(compiled: Compiled, plan: SparsityPlan) -> list[MaskedLayer]:
    """The layers as they are stored; channels are no groups of one weight."""
    if plan.channels is None:
        found = [_stored(compiled.forward, layer) for layer in plan.layers]
    else:
        found = [MaskedLayer(layer.weight, plan.channels.stored_shape(layer.weight)) for layer in plan.layers]
    return [_with_rows(one, plan.rows[one.name], compiled.cut_gradients) for one in found] if plan.rows else found


def _with_rows(layer: MaskedLayer, rows: Rows, cut: Container[str]) -> MaskedLayer:
    return dataclasses.replace(layer, output_axis=rows.axis, rows=rows.kept if layer.name in cut else None)


def _stored(forward: ir.Model, layer: Layer) -> MaskedLayer:
    if index_name(layer.weight) not in forward.graph.initializers:
        return MaskedLayer(layer.weight, layer.shape, layer.cut)
    turned = forward.graph.initializers[layer.weight].metadata_props[COMPRESSED_KEY] == TRANSPOSED
    return MaskedLayer(layer.weight, layer.shape, layer.cut, output_axis=int(turned), places=layer.places)
