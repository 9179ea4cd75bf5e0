"""Counts that a sample's FLOPs depend on: the kept weights of each layer, and those whose gradient is used."""

from collections.abc import Mapping

from sparcl_compile.costs.by_density import flops_by_density
from sparcl_compile.costs.flops import TrainingFlops, computed_gradients, layer_costs
from sparcl_compile.graphs.flops import LayerFlops, MovingFlops
from sparcl_compile.graphs.tensors import Tensor
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.plan.layers import Layer
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.policies import grows_by_gradient


def gradient_densities(compiled: Compiled) -> dict[str, float]:
    """The share of each masked weight whose gradient is used, by weight."""
    plan = compiled.plan
    if plan.policy.straight_through:
        return dict.fromkeys((layer.weight for layer in plan.layers), 1.0)
    used = {layer.weight: (layer.updated if plan.gradient_masks else layer.base) / layer.size for layer in plan.layers}
    return {**used, **_row_shares(compiled)}


def _row_shares(compiled: Compiled) -> dict[str, float]:
    """The share of the gradients that are chosen by rows."""
    rows, cut = compiled.plan.rows, compiled.cut_gradients
    return {weight: one.share if weight in cut else one.whole_share for weight, one in rows.items()}


def moving_flops(compiled: Compiled, kept: Mapping[str, Tensor], options: CompileOptions) -> MovingFlops:
    """The FLOPs of one sample under masks whose density changes in a run.

    Args:
        compiled: what the pipeline has left.
        kept: the tensors that mark the kept weights, by weight.
        options: of the compilation.
    """
    costs, computed = layer_costs(compiled.full), computed_gradients(compiled.full)
    found, shares = flops_by_density(costs, list(kept), computed), _row_shares(compiled)
    rows = sum(share * found.each[weight].weight_gradient_sparse for weight, share in shares.items())
    masked = compiled.plan.gradient_masks
    each = [(layer, kept[layer.weight], found.each[layer.weight]) for layer in compiled.plan.layers]
    return MovingFlops(
        forward=found.fixed.forward_sparse,
        training=found.fixed.sparse + rows,
        layers=tuple(_layer(*one, masked, one[0].weight in shares) for one in each),
        measures_whole=grows_by_gradient(options),
    )


def _layer(layer: Layer, kept: Tensor, flops: TrainingFlops, gradient_masks: bool, by_row: bool) -> LayerFlops:
    return LayerFlops(
        kept=kept,
        updated=layer.gradient_keep if gradient_masks else layer.size,
        forward=flops.forward_sparse,
        input_gradient=flops.input_gradient_sparse,
        weight_gradient=0.0 if by_row else flops.weight_gradient_sparse,
    )
