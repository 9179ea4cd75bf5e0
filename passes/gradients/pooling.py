"""Pools."""

import math
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import int_attribute, ints_attribute, string_attribute
from sparcl_compile.passes.gradients.gradient import Gradient, Rule, each

INDICES = ".indices"


def _max_pool(g: Gradient) -> ir.Value:
    """Dy added to zeros at the place of each largest element, which the pool gives as a second output.

    A window of NaN has an index in front of its plane (ONNX Runtime 1.19.2), which would add to memory that is not the
    gradient's: training that diverges must end in a message, not in a crash.
    """
    if int_attribute(g.node, "storage_order", 0):
        raise g.refusal("counts its places by columns")
    places = g.op("Max", g.reshaped(_indices(g), [-1]), g.ints([0]))
    size = g.op("Size", g.x)
    zeros = g.op("Expand", g.number(0.0), g.reshaped(size, [1]))
    flat = g.op("ScatterElements", zeros, places, g.reshaped(g.dy, [-1]), axis=0, reduction="add")
    return g.in_shape_of(g.x, flat)


def _indices(g: Gradient) -> ir.Value:
    """The second output of the pool, which it gets where it lacks it."""
    node = g.node
    if len(node.outputs) < 2:
        node.resize_outputs(2)
    indices = node.outputs[1]
    if not indices.name:
        indices.name = f"{node.outputs[0].name}{INDICES}"
        indices.shape, indices.type = node.outputs[0].shape, ir.TensorType(ir.DataType.INT64)
    return indices


def _average_pool(g: Gradient) -> ir.Value:
    """Dy over the number of elements of its window, added up over the windows that an element is in.

    Each plane by itself: a ConvTranspose with a kernel of ones on one channel.
    """
    if string_attribute(g.node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise g.refusal("leaves its padding open")
    if int_attribute(g.node, "ceil_mode", 0) and int_attribute(g.node, "count_include_pad", 0):
        # ONNX Runtime 1.19 divides by the whole window, later versions by what lies inside of the padding.
        raise g.refusal("counts what lies behind its padding")
    kernel = ints_attribute(g.node, "kernel_shape", [])
    axes = len(kernel)
    strides, pads = ints_attribute(g.node, "strides", [1] * axes), ints_attribute(g.node, "pads", [0] * 2 * axes)
    dilations = ints_attribute(g.node, "dilations", [1] * axes)
    inputs, outputs = g.static(g.x, 2), g.static(g.y, 2)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    used = [(n - 1) * stride + r for n, stride, r in zip(outputs, strides, reach, strict=True)]
    counts = [
        _counts(out, stride, k, d, before, n, n + after if int_attribute(g.node, "count_include_pad", 0) else None)
        for out, stride, k, d, before, after, n in zip(
            outputs, strides, kernel, dilations, pads[:axes], pads[axes:], inputs, strict=True
        )
    ]
    if not all(one.all() for one in counts):
        raise g.refusal("has a window outside of its input")
    size = counts[0]
    for one in counts[1:]:
        size = size[..., None] * one
    share = g.mul(g.dy, g.const("shares", (1.0 / size).astype(np.float32)))
    planes = g.reshaped(share, [-1, 1, *outputs])
    spread = g.op("ConvTranspose", planes, g.filled(1.0, [1, 1, *kernel]), strides=strides, dilations=dilations)
    # What the windows cover is cut to the input: a window may reach past the padding, or stop before its end.
    after = [n + p - u for n, p, u in zip(inputs, pads[:axes], used, strict=True)]
    return g.in_shape_of(g.x, g.padded(spread, [0, 0, *(-p for p in pads[:axes])], [0, 0, *after]))


def _counts(
    outputs: int, stride: int, kernel: int, dilation: int, before: int, length: int, end: int | None
) -> np.ndarray:
    """The number of elements of each window along one axis: those inside of the input, or of its padding too.

    Args:
        outputs: number of windows.
        stride: between windows.
        kernel: elements of a window.
        dilation: between them.
        before: padding in front.
        length: of the input.
        end: where the padding behind ends, from the input's first element; None to count the input alone.
    """
    places = np.arange(outputs)[:, None] * stride - before + np.arange(kernel) * dilation
    inside = (places >= 0) & (places < length) if end is None else places < end
    counted: np.ndarray = inside.sum(axis=1)
    return counted


def _global_average(g: Gradient) -> ir.Value:
    lengths = g.static(g.x, 2)
    share = g.scaled(g.dy, 1.0 / math.prod(lengths))
    return g.op("Expand", share, g.ints([1, 1, *lengths]))


def _global_max(g: Gradient) -> ir.Value:
    """Dy at the first of the largest elements of each plane."""
    channels, *lengths = g.static(g.x, 1)
    plane = math.prod(lengths)
    flat = g.reshaped(g.x, [-1, channels, plane])
    first = g.op("ArgMax", flat, axis=2, keepdims=1)
    hits = g.op("Equal", first, g.ints(list(range(plane))))
    return g.reshaped(g.where(hits, g.reshaped(g.dy, [-1, channels, 1]), g.number(0.0)), [-1, channels, *lengths])


RULES: Mapping[str, Rule] = {
    "AveragePool": each(_average_pool),
    "GlobalAveragePool": each(_global_average),
    "GlobalMaxPool": each(_global_max),
    "MaxPool": each(_max_pool),
}
