"""Which stand-alone graphs an artifact holds, and with what numbers."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.graphs import (
    batch,
    check_loss,
    check_state,
    class_order,
    count_correct,
    crop_flip,
    flops,
    merge,
    order,
    record,
    remove_samples,
    replay_batch,
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
from sparcl_compile.graphs.masks import MaskedLayer
from sparcl_compile.graphs.standardise import Layout
from sparcl_compile.graphs.tensors import Tensor
from sparcl_compile.interface.manifest import Flops
from sparcl_compile.interface.names import Role, index_name
from sparcl_compile.interface.specs import StateSpec, WeightSpec
from sparcl_compile.passes.analysis.channels.plan import plan_of
from sparcl_compile.passes.core.marks import COMPRESSED_KEY
from sparcl_compile.passes.core.roles import TRAINABLE, role_of, values_with_role
from sparcl_compile.passes.differentiating.attach_optimizer import OPTIMIZER_KEY, optimizer_states
from sparcl_compile.passes.lowering.sparse.expand import TRANSPOSED
from sparcl_compile.plan.channels import fan_in
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.plan.layers import Layer
from sparcl_compile.plan.rows import rows_of
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.recipes import RECIPES

Graph = ir.Model | dict[str, ir.Model]
"""A graph, or where it reads raw samples, one for each of their types."""
SAMPLES = {"uint8": ir.DataType.UINT8, "float32": ir.DataType.FLOAT}
"""The types of raw samples."""
LEARNED = (Role.PARAMETER, Role.OPTIMIZER, Role.RUNNING_STAT)
"""Roles of the state that training computes."""
COLOURS = (1, 3, 4)
"""Channel counts by which a channels-last input is told from a channels-first one."""


def layout_of(shape: Sequence[int | None]) -> Layout:
    """How the model takes an image: [C, H, W], [H, W, C] or as one vector; ``shape`` is without the batch."""
    if len(shape) == 1:
        return "flat"
    channels_last = len(shape) == 3 and shape[2] in COLOURS and shape[0] not in COLOURS
    return "NHWC" if channels_last else "NCHW"


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the stand-alone graphs are built from, beside the compiled graphs.

    Attributes:
        layers: the masked weights.
        state: the state tensors of the model.
        weights: the masked weights as the manifest has them.
        flops: of one sample.
        input_shape: of the model, without the batch; None for a length that may vary.
        classes: how many logits there are.
    """

    layers: Sequence[Layer]
    state: Sequence[StateSpec]
    weights: tuple[WeightSpec, ...]
    flops: Flops
    input_shape: Sequence[int | None]
    classes: int


def side_graphs(compiled: Compiled, options: CompileOptions, facts: Facts) -> dict[str, Graph]:
    """Build the graphs beside train, eval and optimizer, by name (docs/interfaces.md).

    Those that read raw samples are there for both of their types. Mask graphs are there when the weights are sparse,
    gradient mask graphs when the gradients are, those of the buffer when samples are replayed, the one that removes
    samples when samples are removed.
    """
    return {
        **_data_graphs(facts),
        **_epoch_graphs(options, facts),
        **(_replay_graphs(options, facts) if options.replay != "none" else {}),
        **_result_graphs(facts),
        **_mask_graphs(compiled, options, facts),
    }


def _by_dtype(build: Callable[[ir.DataType], ir.Model]) -> dict[str, ir.Model]:
    return {name: build(dtype) for name, dtype in SAMPLES.items()}


def _data_graphs(facts: Facts) -> dict[str, Graph]:
    layout = layout_of(facts.input_shape)
    return {
        "class_order": class_order.build(),
        "sum_pixels": _by_dtype(sum_pixels.build),
        "sum_squares": _by_dtype(sum_squares.build),
        "statistics": _by_dtype(statistics.build),
        "crop_flip": _by_dtype(lambda dtype: crop_flip.build(layout, dtype)),
        "standardise": _by_dtype(lambda dtype: standardise.build(layout, dtype)),
    }


def _epoch_graphs(options: CompileOptions, facts: Facts) -> dict[str, Graph]:
    remove: dict[str, Graph] = {"remove_samples": remove_samples.build(RECIPES[options.recipe].score)}
    return {
        "order": order.build(),
        "batch": batch.build(facts.classes, "task" if options.loss_classes == "task" else "all"),
        "check_loss": check_loss.build(),
        "check_state": check_state.build([_tensor(spec) for spec in learned(facts.state)]),
        **(remove if options.data_removal > 0.0 else {}),
    }


def _replay_graphs(options: CompileOptions, facts: Facts) -> dict[str, Graph]:
    sample = [f"D{axis}" if length is None else length for axis, length in enumerate(facts.input_shape)]
    merged: dict[str, Graph] = {"merge": merge.build(facts.classes, sample)}
    return {
        "replay_batch": _by_dtype(lambda dtype: replay_batch.build(facts.classes, dtype)),
        "write_buffer": _by_dtype(lambda dtype: write_buffer.build(facts.classes, dtype)),
        **(merged if options.replay_batches == "merged" else {}),
    }


def _result_graphs(facts: Facts) -> dict[str, Graph]:
    state = {spec.name: spec for spec in facts.state}
    kept = [state[str(weight.mask or weight.rows)] for weight in facts.weights]
    updated = [state[weight.gradient_mask] for weight in facts.weights if weight.gradient_mask]
    parameters = [spec for spec in facts.state if spec.role in TRAINABLE]
    sizes = {str(weight.rows): weight.size for weight in facts.weights if weight.rows}
    flops_of_sample = flops.SampleFlops(
        facts.flops.forward_dense,
        facts.flops.forward_sparse,
        facts.flops.training_dense,
        facts.flops.training_sparse,
    )
    return {
        "count_correct": count_correct.build(facts.classes),
        "record": record.build(),
        "summary": summary.build(),
        "sparsity": sparsity.build(*([_tensor(spec, sizes) for spec in part] for part in (kept, updated, parameters))),
        "flops": flops.build(flops_of_sample),
    }


def learned(state: Sequence[StateSpec]) -> list[StateSpec]:
    """Return what training computes, in the order in which ``check_state`` numbers it."""
    return [spec for role in LEARNED for spec in state if spec.role is role]


def _tensor(spec: StateSpec, sizes: Mapping[str, int] | None = None) -> Tensor:
    shape = tuple(length for length in spec.shape if isinstance(length, int))
    full = math.prod(spec.full_shape) if spec.full_shape else (sizes or {}).get(spec.name)
    return Tensor(spec.name, shape, spec.role, full)


def _mask_graphs(compiled: Compiled, options: CompileOptions, facts: Facts) -> dict[str, Graph]:
    recipe, layers = RECIPES[options.recipe], facts.layers
    graphs: dict[str, Graph] = {}
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
