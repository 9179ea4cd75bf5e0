"""The manifest's ``state`` and ``weights``: every state tensor, and what belongs to each masked weight."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.compiling.graph_specs import DTYPES
from sparcl_compile.interface.names import (
    Role,
    accumulator_name,
    gradient_mask_name,
    gradient_rows_name,
    index_name,
    long_steps_name,
    mask_name,
    measured_names,
    rows_name,
)
from sparcl_compile.interface.specs import MASKED, Dimension, DType, StateSpec, Stored, WeightSpec
from sparcl_compile.passes.analysis.channels.plan import ChannelPlan
from sparcl_compile.passes.core.layers import full_limit_steps, masked_layers, rate_factor
from sparcl_compile.passes.core.marks import COMPRESSED_KEY, MASKED_KEY
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.core.values import dims
from sparcl_compile.passes.differentiating.insert_sample_filter import SCORES
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.plan.layers import Layer

UNSAVED = (Role.GRADIENT,)
"""Roles that a checkpoint does not hold: a step begins with new gradients."""
SAMPLES = "samples"
MASK_NAMES = (mask_name, gradient_mask_name)
FORMS: Mapping[str, Stored] = {"rows": "rows", "transposed": "transposed"}
"""The forms of compressed weights, by their mark in the graph."""


def state_specs(compiled: Compiled) -> list[StateSpec]:
    """Every state tensor with its role, type, shape and where its first value comes from."""
    plan, training = compiled.plan, compiled.training
    specs = []
    for role in (Role.PARAMETER, Role.FROZEN, Role.MASK, Role.INDEX, Role.RUNNING_STAT):
        specs += [_of(value, role, "file") for value in values_with_role(compiled.forward, role)]
    specs += [_of(value, Role.GRADIENT, "zeros") for value in values_with_role(training, Role.GRADIENT)]
    for weight in values_with_role(training, Role.PARAMETER):
        states = compiled.optimizer_states[str(weight.name)]
        specs += [_spec(name, Role.OPTIMIZER, "float32", dims(weight), "zeros") for name in states]
        counted = [long_steps_name(str(weight.name))] if full_limit_steps(weight) else []
        specs += [_spec(name, Role.OPTIMIZER, "float32", [1] * len(dims(weight)), "zeros") for name in counted]
    specs += _mask_specs(compiled)
    specs += [_of(value, Role.GRADIENT_ROWS, "file") for value in values_with_role(training, Role.GRADIENT_ROWS)]
    shapes = {layer.weight: layer.shape for layer in plan.layers} | dict(plan.channels.shapes if plan.channels else {})
    full = {**shapes, **{made(weight): shape for weight, shape in shapes.items() for made in MASK_NAMES}}
    specs = [_with_full_shape(spec, full.get(spec.name)) for spec in specs]
    channels = _channel_specs(plan.channels) if plan.channels else ()
    return [*specs, *channels, *_sample_specs(plan.recipe.score)]


def _mask_specs(compiled: Compiled) -> list[StateSpec]:
    """The masks that only begin with all weights, and the gradient masks."""
    weights = {str(weight.name): weight for weight in masked_layers(compiled.training)}
    specs = []
    for layer in compiled.plan.layers:
        mask, shape = mask_name(layer.weight), dims(weights[layer.weight])
        if not compiled.plan.masks:
            specs.append(_spec(mask, Role.MASK, "float32", shape, "ones"))
        if compiled.plan.gradient_masks:
            masked = mask in compiled.forward.graph.initializers or not compiled.plan.masks
            init = f"copy:{mask}" if masked else "ones"
            specs.append(_spec(gradient_mask_name(layer.weight), Role.GRADIENT_MASK, "float32", shape, init))
    return specs


def _with_full_shape(spec: StateSpec, shape: Sequence[int] | None) -> StateSpec:
    """The full shape beside the stored one where they differ: sparsity is measured against it."""
    return spec if shape is None or tuple(shape) == spec.shape else dataclasses.replace(spec, full_shape=tuple(shape))


def _channel_specs(plan: ChannelPlan) -> Iterable[StateSpec]:
    types: Mapping[str, DType] = {"int64": "int64", "float32": "float32"}
    return (_spec(name, Role.CHANNEL, types[str(a.dtype)], a.shape, "file") for name, a in plan.state().items())


def _sample_specs(score: str) -> Iterable[StateSpec]:
    yield _spec("sample_keep", Role.SAMPLE, "float32", (SAMPLES,), "ones")
    yield from (_spec(name, Role.SAMPLE, "int64", (SAMPLES,), "zeros") for name in SCORES[score])


def _of(value: ir.Value, role: Role, init: str) -> StateSpec:
    return _spec(str(value.name), role, "float32" if value.dtype is None else DTYPES[value.dtype], dims(value), init)


def _spec(name: str, role: Role, dtype: DType, shape: Sequence[Dimension], init: str) -> StateSpec:
    return StateSpec(name, role, dtype, tuple(shape), init, role not in UNSAVED, None)


def weight_specs(compiled: Compiled, state: Collection[StateSpec]) -> tuple[WeightSpec, ...]:
    """The masked weights with their forms, counts and names; ``state`` is what ``state_specs`` gives."""
    names = {spec.name for spec in state}
    all_train = compiled.plan.policy.straight_through
    return tuple(_weight_spec(layer, compiled.forward, names, all_train) for layer in compiled.plan.layers)


def _weight_spec(layer: Layer, forward: ir.Model, names: Collection[str], all_train: bool) -> WeightSpec:
    weight = layer.weight
    marks = forward.graph.initializers[weight].metadata_props

    def there(name: str) -> str | None:
        return name if name in names else None

    first, second = measured_names(weight)
    return WeightSpec(
        weight=weight,
        shape=layer.shape,
        stored=FORMS.get(marks.get(COMPRESSED_KEY, ""), MASKED),
        reason=marks.get(MASKED_KEY, ""),
        scheme=layer.scheme,
        axes=layer.axes,
        density=layer.density,
        base=layer.base,
        shrunk=layer.shrunk,
        grown=layer.grown,
        updated=layer.size if all_train else layer.updated,
        rate=rate_factor(forward.graph.initializers[weight]),
        mask=there(mask_name(weight)),
        index=there(index_name(weight)),
        rows=there(rows_name(weight)),
        gradient_mask=there(gradient_mask_name(weight)),
        gradient_rows=there(gradient_rows_name(weight)),
        accumulator=accumulator_name(weight),
        g1=first,
        g2=second,
    )
