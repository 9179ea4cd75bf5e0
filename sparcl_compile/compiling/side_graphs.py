"""Which stand-alone graphs an artifact holds, and with what numbers."""

import dataclasses
import math
from collections.abc import Callable, Container, Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.compiling.method_graphs import method_graphs
from sparcl_compile.compiling.work_counts import flops_of_measuring, moving_flops
from sparcl_compile.graphs import (
    batch,
    check_loss,
    check_state,
    class_accuracy,
    class_order,
    count_by_class,
    count_correct,
    crop_flip,
    decay,
    flops,
    jitter_shift_scale,
    merge,
    order,
    probabilities,
    record,
    remove_samples,
    replay_batch,
    resize,
    sparsity,
    standardise,
    statistics,
    sum_pixels,
    sum_squares,
    summary,
    update_channels,
    update_gradient_masks,
    update_masks,
    write_buffer,
)
from sparcl_compile.graphs.masks import MaskedLayer, Rule
from sparcl_compile.graphs.tensors import Tensor
from sparcl_compile.interface.manifest import SERIES, Flops, image_size
from sparcl_compile.interface.names import AUGMENTS, Role, index_name
from sparcl_compile.interface.specs import StateSpec, WeightSpec
from sparcl_compile.passes.core.marks import COMPRESSED_KEY
from sparcl_compile.passes.core.roles import TRAINABLE
from sparcl_compile.passes.lowering.sparse.expand import TRANSPOSED
from sparcl_compile.plan.channels import fan_in
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.plan.layers import Layer
from sparcl_compile.plan.plan import SparsityPlan
from sparcl_compile.plan.rows import Rows
from sparcl_compile.settings.methods import loss_classes_of, method_of, replayed_labels
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.policies import SR_STE_DECAY, TDM, grows_by_gradient, work_moves

Graph = ir.Model | dict[str, ir.Model]
"""A graph, or where it reads raw samples, one for each of their types."""
SAMPLES = {"uint8": ir.DataType.UINT8, "float32": ir.DataType.FLOAT}
"""The types of raw samples."""
LEARNED = (Role.PARAMETER, Role.OPTIMIZER, Role.RUNNING_STAT)
"""Roles of the state that training computes."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts that the stand-alone graphs are built from, beside the compiled graphs.

    Attributes:
        state: the state tensors of the model.
        weights: the masked weights as the manifest has them.
        flops: of one sample.
    """

    state: Sequence[StateSpec]
    weights: tuple[WeightSpec, ...]
    flops: Flops


def side_graphs(compiled: Compiled, options: CompileOptions, facts: Facts) -> dict[str, Graph]:
    """Build the graphs beside train, eval and optimizer, by name (docs/interfaces.md).

    Those that read raw samples are there for both of their types. Mask graphs are there when the weights are sparse,
    gradient mask graphs when the gradients are, those of the buffer when samples are replayed, the one that removes
    samples when samples are removed, that of the learning rate when it falls.
    """
    return {
        **_data_graphs(compiled),
        **_epoch_graphs(compiled, options, facts),
        **(_replay_graphs(compiled, options) if method_of(options).replay.batches else {}),
        **method_graphs(compiled, method_of(options), _by_dtype),
        **_result_graphs(compiled, options, facts),
        **(_app_graphs(compiled) if method_of(options).in_apps else {}),
        **_mask_graphs(compiled, compiled.plan, options),
    }


def _by_dtype(build: Callable[[ir.DataType], ir.Model]) -> dict[str, ir.Model]:
    return {name: build(dtype) for name, dtype in SAMPLES.items()}


def _data_graphs(compiled: Compiled) -> dict[str, Graph]:
    layout, sample = compiled.layout, compiled.input_shape
    series = layout in SERIES
    augment = jitter_shift_scale if series else crop_flip
    return {
        "class_order": class_order.build(),
        "sum_pixels": _by_dtype(sum_pixels.build),
        "sum_squares": _by_dtype(sum_squares.build),
        "statistics": _by_dtype(statistics.build),
        AUGMENTS[series]: _by_dtype(lambda dtype: augment.build(layout, dtype, sample)),
        "standardise": _by_dtype(lambda dtype: standardise.build(layout, dtype, sample)),
    }


def _app_graphs(compiled: Compiled) -> dict[str, Graph]:
    size = image_size(compiled.layout, compiled.input_shape)
    return {
        "probabilities": probabilities.build(compiled.classes),
        "count_by_class": count_by_class.build(compiled.classes),
        "class_accuracy": class_accuracy.build(compiled.classes),
        **({"resize": _by_dtype(lambda dtype: resize.build(*size, dtype))} if size else {}),
    }


def _epoch_graphs(compiled: Compiled, options: CompileOptions, facts: Facts) -> dict[str, Graph]:
    remove: dict[str, Graph] = {"remove_samples": remove_samples.build(compiled.plan.recipe.score)}
    falling: dict[str, Graph] = {"decay": decay.build(options.rate_decay)} if options.rate_decay > 0.0 else {}
    return {
        "order": order.build(),
        "batch": batch.build(compiled.classes, loss_classes_of(options), replayed_labels(options)),
        "check_loss": check_loss.build(),
        "check_state": check_state.build([_tensor(spec) for spec in learned(facts.state)]),
        **(remove if options.data_removal > 0.0 else {}),
        **falling,
    }


def _replay_graphs(compiled: Compiled, options: CompileOptions) -> dict[str, Graph]:
    sample = [f"D{axis}" if length is None else length for axis, length in enumerate(compiled.input_shape)]
    loss_classes, weight = method_of(options).replay.classes, replayed_labels(options)
    written: dict[str, Graph] = {"write_buffer": _by_dtype(lambda dtype: write_buffer.build(compiled.classes, dtype))}
    merged: dict[str, Graph] = {"merge": merge.build(compiled.classes, sample)}
    return {
        "replay_batch": _by_dtype(lambda dtype: replay_batch.build(compiled.classes, dtype, loss_classes, weight)),
        **({} if method_of(options).fills == "exemplars" else written),
        **(merged if options.replay_batches == "merged" else {}),
    }


def _result_graphs(compiled: Compiled, options: CompileOptions, facts: Facts) -> dict[str, Graph]:
    sizes = {str(weight.rows): weight.size for weight in facts.weights if weight.rows}
    tensors = {spec.name: _tensor(spec, sizes) for spec in facts.state}
    kept = {weight.weight: tensors[str(weight.mask or weight.rows)] for weight in facts.weights}
    return {
        "count_correct": count_correct.build(compiled.classes),
        "record": record.build(),
        "summary": summary.build(),
        "sparsity": _sparsity_graph(compiled, facts, tensors, kept),
        "flops": _flops_graph(compiled, options, facts, kept),
    }


def _sparsity_graph(
    compiled: Compiled, facts: Facts, tensors: Mapping[str, Tensor], kept: Mapping[str, Tensor]
) -> ir.Model:
    # Without gradient masks every kept weight is updated, and pruned ones only where the gradient passes through.
    masks = [tensors[one.gradient_mask] if one.gradient_mask else kept[one.weight] for one in facts.weights]
    updated = None if compiled.plan.policy.straight_through else masks
    parameters = [tensors[spec.name] for spec in facts.state if spec.role in TRAINABLE]
    return sparsity.build([*kept.values()], updated, parameters)


def _flops_graph(compiled: Compiled, options: CompileOptions, facts: Facts, kept: Mapping[str, Tensor]) -> ir.Model:
    one, measuring = facts.flops, flops_of_measuring(compiled)
    sample = flops.SampleFlops(
        one.forward_dense,
        one.forward_sparse,
        one.training_dense,
        one.training_sparse,
        measuring.sparse if measuring else None,
    )
    return flops.build(sample, moving_flops(compiled, kept, options) if work_moves(options) else None)


def learned(state: Sequence[StateSpec]) -> list[StateSpec]:
    """Return what training computes, in the order in which ``check_state`` numbers it."""
    return [spec for role in LEARNED for spec in state if spec.role is role]


def _tensor(spec: StateSpec, sizes: Mapping[str, int] | None = None) -> Tensor:
    shape = tuple(length for length in spec.shape if isinstance(length, int))
    full = math.prod(spec.full_shape) if spec.full_shape else (sizes or {}).get(spec.name)
    return Tensor(spec.name, shape, spec.role, full)


def _mask_graphs(compiled: Compiled, plan: SparsityPlan, options: CompileOptions) -> dict[str, Graph]:
    masked, alpha, beta = _masked(compiled, plan, options), plan.recipe.alpha, plan.recipe.beta
    moves = bool(masked) and plan.masks and plan.policy.moves
    graphs: dict[str, Graph] = {}
    if moves and plan.channels is not None:
        states, fans = compiled.optimizer_states, fan_in(plan.channels)
        graphs["update_masks"] = update_channels.build(
            plan.channels, plan.roles, states, fans, alpha, beta, plan.gradient_masks
        )
    elif moves:
        states, rule = compiled.optimizer_states, rule_of(plan, options)
        graphs["update_masks"] = update_masks.build(masked, states, rule, plan.gradient_masks)
    if masked and plan.gradient_masks:
        graphs["update_gradient_masks"] = update_gradient_masks.build(masked, alpha, beta, bool(plan.rows))
    return graphs


def rule_of(plan: SparsityPlan, options: CompileOptions) -> Rule:
    """The scores of the mask policy."""
    recipe, policy, by_gradient = plan.recipe, plan.policy, grows_by_gradient(options)
    if policy.name == TDM:
        return Rule(recipe.alpha, recipe.beta, by_gradient)
    scores = policy.scores_first
    if policy.straight_through:
        return Rule(0.0, None, decay=SR_STE_DECAY)
    return Rule(policy.alpha, None, by_gradient, by_product=scores, same_norm=scores and options.scaling == "density")


def _masked(compiled: Compiled, plan: SparsityPlan, options: CompileOptions) -> list[MaskedLayer]:
    """The layers as they are stored; channels are no groups of one weight."""
    if plan.channels is None:
        found = [_stored(compiled.forward, layer, grows_by_gradient(options)) for layer in plan.layers]
    else:
        found = [MaskedLayer(layer.weight, plan.channels.stored_shape(layer.weight)) for layer in plan.layers]
    return [_with_rows(one, plan.rows[one.name], compiled.cut_gradients) for one in found] if plan.rows else found


def _with_rows(layer: MaskedLayer, rows: Rows, cut: Container[str]) -> MaskedLayer:
    return dataclasses.replace(layer, output_axis=rows.axis, rows=rows.kept if layer.name in cut else None)


def _stored(forward: ir.Model, layer: Layer, all_measured: bool) -> MaskedLayer:
    if index_name(layer.weight) not in forward.graph.initializers:
        return MaskedLayer(layer.weight, layer.shape, layer.cut)
    turned = forward.graph.initializers[layer.weight].metadata_props[COMPRESSED_KEY] == TRANSPOSED
    axis, places = int(turned), layer.places
    return MaskedLayer(layer.weight, layer.shape, layer.cut, axis, places=places, all_measured=all_measured)
