"""Normalisations said in means, products and square roots."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import float_attribute, int_attribute, ints_attribute, kept_attributes
from sparcl_compile.passes.core.insert import Inserter


def normalised(e: Inserter, x: ir.Value | None, axes: list[int], epsilon: float) -> ir.Value:
    """(x - mean) / sqrt(variance + epsilon) over the axes."""
    axes_value = e.ints("axes", axes)
    centred = e.op("Sub", x, e.op("ReduceMean", x, axes_value, keepdims=1))
    variance = e.op("ReduceMean", e.op("Mul", centred, centred), axes_value, keepdims=1)
    return e.op("Div", centred, e.op("Sqrt", e.op("Add", variance, e.const("epsilon", epsilon))))


def affine(e: Inserter, x: ir.Value, scale: ir.Value | None, bias: ir.Value | None, shape: list[int]) -> ir.Value:
    """X * scale + bias, both brought to a shape that broadcasts."""
    target = e.ints("shape", shape)
    return e.op("Add", e.op("Mul", x, e.op("Reshape", scale, target)), e.op("Reshape", bias, target))


def rank(value: ir.Value | None) -> int | None:
    """The number of axes."""
    return None if value is None or value.shape is None else len(value.shape)


def instance_norm(e: Inserter, node: ir.Node) -> ir.Value | None:
    """InstanceNormalization over the spatial axes."""
    axes = rank(node.inputs[0])
    if axes is None:
        return None
    hat = normalised(e, node.inputs[0], list(range(2, axes)), float_attribute(node, "epsilon", 1e-5))
    return affine(e, hat, node.inputs[1], node.inputs[2], [-1] + [1] * (axes - 2))


def group_norm(e: Inserter, node: ir.Node) -> ir.Value | None:
    """GroupNormalization; scale and bias count the groups (opset 18) or the channels (opset 21)."""
    x = node.inputs[0]
    axes = rank(x)
    if axes is None or x is None or x.shape is None or not isinstance(x.shape[1], int):
        return None
    groups, channels = int_attribute(node, "num_groups", 1), x.shape[1]
    scale = node.inputs[1]
    per_group = scale is not None and scale.shape is not None and scale.shape[0] == groups != channels
    grouped = e.op("Reshape", x, e.ints("groups", [0, groups, -1]))
    hat = normalised(e, grouped, [2], float_attribute(node, "epsilon", 1e-5))
    if per_group:
        hat = affine(e, hat, node.inputs[1], node.inputs[2], [-1, 1])
    back = e.op("Reshape", hat, e.ints("back", [-1, *(int(d) for d in list(x.shape)[1:])]))  # type: ignore[arg-type]
    return back if per_group else affine(e, back, node.inputs[1], node.inputs[2], [-1] + [1] * (axes - 2))


def layer_norm(e: Inserter, node: ir.Node) -> ir.Value | None:
    """LayerNormalization with a bias, which the gradient builder wants: a constant of zeros when there is none."""
    scale = node.inputs[1]
    if (len(node.inputs) > 2 and node.inputs[2] is not None) or scale is None or scale.shape is None:
        return None
    bias = e.const("bias", np.zeros([int(d) for d in scale.shape]))  # type: ignore[arg-type]
    return e.op("LayerNormalization", node.inputs[0], scale, bias, **kept_attributes(node))


def rms_norm(e: Inserter, node: ir.Node) -> ir.Value | None:
    """RMSNormalization of opset 23: x / sqrt(mean of x * x + epsilon) * scale over the last axes."""
    x, axes = node.inputs[0], rank(node.inputs[0])
    if axes is None:
        return None
    over = e.ints("axes", list(range(int_attribute(node, "axis", -1) % axes, axes)))
    mean = e.op("ReduceMean", e.op("Mul", x, x), over, keepdims=1)
    root = e.op("Sqrt", e.op("Add", mean, e.const("epsilon", float_attribute(node, "epsilon", 1e-5))))
    return e.op("Mul", e.op("Div", x, root), node.inputs[1])


def mean_variance(e: Inserter, node: ir.Node) -> ir.Value:
    """MeanVarianceNormalization."""
    return normalised(e, node.inputs[0], ints_attribute(node, "axes", [0, 2, 3]), 1e-9)


def lp_normalization(e: Inserter, node: ir.Node) -> ir.Value:
    """LpNormalization: x divided by its L1 or L2 norm along an axis."""
    x, axes = node.inputs[0], e.ints("axes", [int_attribute(node, "axis", -1)])
    if int_attribute(node, "p", 2) == 1:
        return e.op("Div", x, e.op("ReduceSum", e.op("Abs", x), axes, keepdims=1))
    return e.op("Div", x, e.op("Sqrt", e.op("ReduceSum", e.op("Mul", x, x), axes, keepdims=1)))


def local_response(e: Inserter, node: ir.Node) -> ir.Value | None:
    """LRN: the sum over neighbouring channels is a 1x1 convolution with a constant band matrix."""
    x = node.inputs[0]
    if x is None or x.shape is None or not isinstance(x.shape[1], int):
        return None
    channels, size = x.shape[1], int_attribute(node, "size", 1)
    offset = np.arange(channels)[None, :] - np.arange(channels)[:, None]
    band = (offset >= -((size - 1) // 2)) & (offset <= size // 2)
    kernel = e.const("neighbours", band.reshape(channels, channels, *[1] * (len(x.shape) - 2)))
    total = e.op("Conv", e.op("Mul", x, x), kernel)
    scaled = e.op("Mul", total, e.const("alpha", float_attribute(node, "alpha", 1e-4) / size))
    base = e.op("Add", scaled, e.const("bias", float_attribute(node, "bias", 1.0)))
    return e.op("Div", x, e.op("Pow", base, e.const("beta", float_attribute(node, "beta", 0.75))))


REWRITES: dict[str, Callable[[Inserter, ir.Node], ir.Value | None]] = {
    "InstanceNormalization": instance_norm,
    "GroupNormalization": group_norm,
    "LayerNormalization": layer_norm,
    "RMSNormalization": rms_norm,
    "MeanVarianceNormalization": mean_variance,
    "LpNormalization": lp_normalization,
    "LRN": local_response,
}
