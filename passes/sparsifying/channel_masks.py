"""The first channel masks of a model: which units stay, and what they do to the parameters."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.channels import Stop
from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.channels.analyse import analyse
from sparcl_compile.passes.analysis.channels.counts import unit_counts
from sparcl_compile.passes.analysis.channels.plan import ChannelPlan
from sparcl_compile.passes.analysis.channels.spaces import Axes, Channels, element_flags, elements_by_space
from sparcl_compile.passes.core.layers import layer_weights
from sparcl_compile.passes.core.marks import DENSE_KEY
from sparcl_compile.passes.core.roles import frozen_names, role_of
from sparcl_compile.passes.core.values import data_of

USER = "user"
"""The reason of a weight that the user keeps dense."""


def plan_channels(model: ir.Model, density: float, distribution: str) -> ChannelPlan:
    """Analyse a forward graph, choose the units of the first masks and say of every other weight why it is whole.

    A weight with an axis that can be removed is masked, whatever its reason to stay dense was, but for those that the
    user named: it loses rows or columns with the units of its neighbours. What is frozen stays whole, and with it every
    unit that has an element there: a constant of the graph cannot follow a mask update.

    Args:
        model: the forward graph as ``import_forward`` leaves it; its dense reasons change.
        density: share of the masked weights' elements that stays.
        distribution: how the density is spread; only ``uniform`` has a meaning here.

    Raises:
        FieldError: nothing can be removed, not enough can, or the distribution is another one.
    """
    if distribution != "uniform":
        problem = "channels are shared between layers, so `scheme` channel keeps the same share everywhere"
        raise FieldError("distribution", distribution, problem, "leave it out")
    layers = layer_weights(model)
    user = [str(w.name) for w in layers if w.metadata_props.get(DENSE_KEY) == USER]
    channels = analyse(model, (*user, *frozen_names(model)))
    masked = tuple(str(w.name) for w in layers if channels.axes.get(str(w.name)))
    if not masked:
        problem = f"no channel can be removed: {_first(channels)}"
        raise FieldError("scheme", "channel", problem, "give another `scheme`")
    _give_reasons(model, masked, channels)
    values = {name: model.graph.initializers[name] for name in channels.axes}
    shapes = {name: tuple(data_of(value).shape) for name, value in values.items()}
    counts = unit_counts(channels, {name: shapes[name] for name in masked}, density)
    importance = unit_importance(channels, {name: np.abs(data_of(values[name])) for name in masked})
    kept = {space: largest_units(importance[space], count) for space, count in counts.items()}
    every = {space.name: np.arange(space.size) for space in channels.spaces}
    return ChannelPlan(channels, masked, shapes, kept, every)


def _first(channels: Channels) -> str:
    return describe(channels.stops[0]) if channels.stops else "no weight has an inner channel"


def describe(stop: Stop) -> str:
    """The node, its operator and the reason: ``norm1 (LayerNormalization): mixes all channels``."""
    operator = f" ({stop.op_type})" if stop.op_type else ""
    return f"{stop.node}{operator}: {stop.reason}"


def _give_reasons(model: ir.Model, masked: tuple[str, ...], channels: Channels) -> None:
    inputs = [value.name for value in model.graph.inputs]
    # Every first layer reads the model's input; what stopped its other axis tells more.
    stops = sorted(channels.stops, key=lambda stop: stop.node in inputs)
    for weight in layer_weights(model):
        name = str(weight.name)
        if name in masked:
            weight.metadata_props.pop(DENSE_KEY, None)
        elif weight.metadata_props.get(DENSE_KEY) != USER and role_of(weight) is not Role.FROZEN:
            stop = next((s for s in stops if name in s.weights), None)
            cause = f"coupling stopped at {describe(stop)}" if stop else "no axis with channels"
            weight.metadata_props[DENSE_KEY] = cause


def unit_importance(channels: Channels, magnitudes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The sum over the elements of each unit, rows and columns, float64 [size] by space.

    Args:
        channels: the spaces and their axes.
        magnitudes: the masked weights' elements, not negative, by weight name.
    """
    totals = {space.name: np.zeros(space.size) for space in channels.spaces}
    axes = [(name, axis) for name in magnitudes for axis in channels.axes[name]]
    for name, axis in axes:
        others = tuple(a for a in range(magnitudes[name].ndim) if a != axis)
        along = magnitudes[name].sum(axis=others, dtype=np.float64)
        for space, part in elements_by_space(along, 0, channels.axes[name][axis]):
            totals[space] += part[..., 0].sum(axis=(0, 2))
    return totals


def largest_units(importance: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` most important units, ascending; ties go to the lower unit."""
    return np.sort(np.argsort(-importance, kind="stable")[:count])


def flags_of(plan: ChannelPlan) -> dict[str, np.ndarray]:
    """The kept units of each space as flags, bool [size]."""
    return {space.name: np.isin(np.arange(space.size), plan.kept[space.name]) for space in plan.channels.spaces}


def outer_mask(shape: tuple[int, ...], axes: Axes, flags: Mapping[str, np.ndarray]) -> np.ndarray:
    """1 where the unit of every axis is kept: float32 of this shape."""
    mask = np.ones(shape, np.float32)
    for axis, segments in axes.items():
        mask *= element_flags(segments, flags).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return mask


def clear_pruned(model: ir.Model, plan: ChannelPlan) -> None:
    """Set the elements of units that are not kept to 0 in the parameters without a mask: biases, scales, shifts."""
    flags = flags_of(plan)
    for name in (n for n in plan.channels.axes if n not in plan.weights):
        value = model.graph.initializers[name]
        if role_of(value) not in (None, Role.RUNNING_STAT):
            mask = outer_mask(plan.shapes[name], plan.channels.axes[name], flags)
            value.const_value = ir.tensor(data_of(value) * mask, name=name)
