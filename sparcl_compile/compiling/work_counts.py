"""Counts that a sample's FLOPs depend on: the kept weights of each layer, and those whose gradient is used."""

from collections.abc import Mapping

from sparcl_compile.costs.by_density import flops_by_density
from sparcl_compile.costs.flops import TrainingFlops, computed_gradients, layer_costs, training_flops
from sparcl_compile.graphs.flops import LayerFlops, MovingFlops
from sparcl_compile.graphs.tensors import Tensor
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.plan.layers import Layer
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.policies import grows_by_gradient


def flops_of_training(compiled: Compiled) -> TrainingFlops:
    """The FLOPs of training on one sample under the masks that there usually are."""
    return _flops(compiled, gradient_densities(compiled))


def flops_of_measuring(compiled: Compiled) -> TrainingFlops | None:
    """The same of measuring its gradients, those of all kept weights; None where training uses all of them, too."""
    return _flops(compiled, kept_densities(compiled)) if compiled.plan.gradient_masks else None


def _flops(compiled: Compiled, gradients: Mapping[str, float]) -> TrainingFlops:
    costs, computed = layer_costs(compiled.full), computed_gradients(compiled.full)
    return training_flops(costs, kept_densities(compiled), gradients, computed)


def kept_densities(compiled: Compiled) -> dict[str, float]:
    """The share of each masked weight that is usually kept, by weight."""
    return {layer.weight: layer.base / layer.size for layer in compiled.plan.layers}


def gradient_densities(compiled: Compiled) -> dict[str, float]:
    """The share of each masked weight whose gradient is used, by weight: kept weights only."""
    plan = compiled.plan
    if plan.policy.straight_through:
        return dict.fromkeys((layer.weight for layer in plan.layers), 1.0)
    if not plan.gradient_masks:
        return kept_densities(compiled)
    whole = _with_all_rows(compiled)
    return {one.weight: (one.base if one.weight in whole else one.updated) / one.size for one in plan.layers}


def _with_all_rows(compiled: Compiled) -> frozenset[str]:
    """The weights of whose gradient all rows are computed although some are chosen."""
    return frozenset(compiled.plan.rows) - compiled.cut_gradients


def moving_flops(compiled: Compiled, kept: Mapping[str, Tensor], options: CompileOptions) -> MovingFlops:
    """The FLOPs of one sample under masks whose density changes in a run.

    Args:
        compiled: what the pipeline has left.
        kept: the tensors that mark the kept weights, by weight.
        options: of the compilation.
    """
    costs, computed = layer_costs(compiled.full), computed_gradients(compiled.full)
    found = flops_by_density(costs, list(kept), computed)
    each = [(layer, kept[layer.weight], found.each[layer.weight]) for layer in compiled.plan.layers]
    return MovingFlops(
        forward=found.fixed.forward_sparse,
        training=found.fixed.sparse,
        layers=tuple(_layer(compiled, *one) for one in each),
        measures_whole=grows_by_gradient(options),
    )


def _layer(compiled: Compiled, layer: Layer, kept: Tensor, flops: TrainingFlops) -> LayerFlops:
    plan = compiled.plan
    single = plan.gradient_masks and not plan.rows
    return LayerFlops(
        kept=kept,
        updated=layer.gradient_keep if single else layer.size,
        forward=flops.forward_sparse,
        input_gradient=flops.input_gradient_sparse,
        weight_gradient=flops.weight_gradient_sparse,
        share=plan.rows[layer.weight].share if layer.weight in compiled.cut_gradients else 1.0,
    )
