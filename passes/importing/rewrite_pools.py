"""Pools, reductions and convolutions with explicit padding and a gradient."""

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import (
    int_attribute,
    ints_attribute,
    kept_attributes,
    lengths_from,
    reduction_axes,
    string_attribute,
)
from sparcl_compile.passes.core.insert import Inserter


def spatial(value: ir.Value | None) -> list[int] | None:
    """The lengths of the axes after batch and channels, None unless there are some and all are known."""
    return lengths_from(value, 2) or None


def explicit_pads(node: ir.Node, lengths: list[int], kernel: list[int]) -> list[int]:
    """The pads (all begins, then all ends) that ``auto_pad`` or ``pads`` mean."""
    auto = string_attribute(node, "auto_pad", "NOTSET")
    count = len(lengths)
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        return [0] * 2 * count if auto == "VALID" else ints_attribute(node, "pads", [0] * 2 * count)
    strides = ints_attribute(node, "strides", [1] * count)
    dilations = ints_attribute(node, "dilations", [1] * count)
    begins, ends = [], []
    for length, size, stride, dilation in zip(lengths, kernel, strides, dilations, strict=True):
        total = max(0, (math.ceil(length / stride) - 1) * stride + (size - 1) * dilation + 1 - length)
        small, large = total // 2, total - total // 2
        begins.append(small if auto == "SAME_UPPER" else large)
        ends.append(large if auto == "SAME_UPPER" else small)
    return begins + ends


def conv(e: Inserter, node: ir.Node) -> ir.Value | None:
    """Conv without ``auto_pad``: the gradient builder ignores it."""
    lengths, weight = spatial(node.inputs[0]), node.inputs[1]
    if "auto_pad" not in node.attributes or lengths is None or weight is None or weight.shape is None:
        return None
    kernel = [int(n) for n in list(weight.shape)[2:]]  # type: ignore[arg-type]
    pads = explicit_pads(node, lengths, kernel)
    del node.attributes["auto_pad"]
    node.attributes["pads"] = ir.AttrInt64s("pads", pads)
    return None


def conv_transpose(e: Inserter, node: ir.Node) -> ir.Value | None:
    """ConvTranspose whose padding is written out, where ``auto_pad`` or ``output_shape`` leaves it open."""
    lengths, made = spatial(node.inputs[0]), spatial(node.outputs[0])
    kernel, auto = spatial(node.inputs[1]), string_attribute(node, "auto_pad", "NOTSET")
    if lengths is None or made is None or kernel is None or not {"auto_pad", "output_shape"} & set(node.attributes):
        return None
    count = len(lengths)
    numbers = {
        name: ints_attribute(node, name, [default] * count)
        for name, default in (("strides", 1), ("dilations", 1), ("output_padding", 0))
    }
    totals = [
        (n - 1) * stride + (size - 1) * dilation + 1 + more - out
        for n, size, out, stride, dilation, more in zip(lengths, kernel, made, *numbers.values(), strict=True)
    ]
    smaller, larger = [n // 2 for n in totals], [n - n // 2 for n in totals]
    for name in ("auto_pad", "output_shape"):
        node.attributes.pop(name, None)
    pads = smaller + larger if auto == "SAME_UPPER" else larger + smaller
    node.attributes["pads"] = ir.AttrInt64s("pads", pads)
    return None


def average_pool(e: Inserter, node: ir.Node) -> ir.Value | None:
    """AveragePool as a global pool, or as a depthwise convolution with a constant kernel of ones.

    The sums are divided by a constant map that counts how many pixels each window saw.
    """
    x, lengths = node.inputs[0], spatial(node.inputs[0])
    if x is None or lengths is None or x.shape is None or not isinstance(x.shape[1], int):
        return None
    kernel = ints_attribute(node, "kernel_shape", [])
    pads = explicit_pads(node, lengths, kernel)
    strides = ints_attribute(node, "strides", [1] * len(lengths))
    dilations = ints_attribute(node, "dilations", [1] * len(lengths))
    if kernel == lengths and not any(pads):
        return e.op("GlobalAveragePool", x)
    begins, ends = pads[: len(lengths)], pads[len(lengths) :]
    include = int_attribute(node, "count_include_pad", 0) == 1
    extra, counts = [], []
    for i, length in enumerate(lengths):
        out = pooled_length(node, i, length, begins[i] + ends[i], kernel[i], strides[i], dilations[i])
        starts = np.arange(out) * strides[i]
        taps = starts[:, None] + np.arange(kernel[i])[None, :] * dilations[i]
        first, last = (0, length + begins[i] + ends[i]) if include else (begins[i], begins[i] + length)
        counts.append(((taps >= first) & (taps < last)).sum(axis=1))
        extra.append(max(0, int(taps.max()) + 1 - length - begins[i]))
    channels = x.shape[1]
    ones = e.const("ones", np.ones([channels, 1, *kernel]))
    total = e.op(
        "Conv", x, ones, group=channels, kernel_shape=kernel, strides=strides, dilations=dilations, pads=begins + extra
    )
    window = np.ones([])
    for count in counts:
        window = np.multiply.outer(window, count)
    return e.op("Mul", total, e.const("share", 1.0 / window[None, None]))


def odd_average_pool(e: Inserter, node: ir.Node) -> ir.Value | None:
    """AveragePool without ``auto_pad``, and as ``average_pool`` where versions of ONNX Runtime count differently.

    Opset 18 knows no dilated one.
    """
    if int_attribute(node, "ceil_mode", 0) or max(ints_attribute(node, "dilations", [1])) > 1:
        return average_pool(e, node)
    return max_pool(e, node)


def pooled_length(node: ir.Node, axis: int, length: int, pads: int, kernel: int, stride: int, dilation: int) -> int:
    """The output length of a pool along one spatial axis, from its shape where that is known."""
    shape = node.outputs[0].shape
    if shape is not None and isinstance(shape[2 + axis], int):
        return int(shape[2 + axis])  # type: ignore[arg-type]
    return (length + pads - (kernel - 1) * dilation - 1) // stride + 1


def max_pool(e: Inserter, node: ir.Node) -> ir.Value | None:
    """A pool without ``auto_pad``."""
    lengths = spatial(node.inputs[0])
    if "auto_pad" not in node.attributes or lengths is None:
        return None
    pads = explicit_pads(node, lengths, ints_attribute(node, "kernel_shape", []))
    del node.attributes["auto_pad"]
    node.attributes["pads"] = ir.AttrInt64s("pads", pads)
    return None


def global_max_pool(e: Inserter, node: ir.Node) -> ir.Value | None:
    """GlobalMaxPool as a MaxPool over the whole input."""
    lengths = spatial(node.inputs[0])
    return None if lengths is None else e.op("MaxPool", node.inputs[0], kernel_shape=lengths)


def extreme(largest: int) -> Callable[[Inserter, ir.Node], ir.Value | None]:
    """ReduceMax or ReduceMin: over the spatial axes a MaxPool, along others the first of TopK."""

    def build(e: Inserter, node: ir.Node) -> ir.Value | None:
        axes, value = reduction_axes(node), node.inputs[0]
        if axes is None or 0 in axes or value is None or value.shape is None:
            return None
        lengths = spatial(value)
        if largest and lengths is not None and axes == list(range(2, len(value.shape))):
            value = e.op("MaxPool", value, kernel_shape=lengths)
        else:
            one = e.ints("one", [1])
            for axis in axes:
                value = e.op("TopK", value, one, outputs=2, axis=axis, largest=largest)
        return value if int_attribute(node, "keepdims", 1) else e.op("Squeeze", value, e.ints("axes", axes))

    return build


def reduce_of(before: str) -> Callable[[Inserter, ir.Node], ir.Value | None]:
    """ReduceL1 and ReduceSumSquare: ReduceSum of |x| or x * x."""

    def build(e: Inserter, node: ir.Node) -> ir.Value:
        x = node.inputs[0]
        inner = e.op("Abs", x) if before == "Abs" else e.op("Mul", x, x)
        return e.op("ReduceSum", inner, *node.inputs[1:], **kept_attributes(node))

    return build


REWRITES: dict[str, Callable[[Inserter, ir.Node], ir.Value | None]] = {
    "Conv": conv,
    "AveragePool": average_pool,
    "MaxPool": max_pool,
    "GlobalMaxPool": global_max_pool,
    "ReduceMax": extreme(1),
    "ReduceMin": extreme(0),
    "ReduceL1": reduce_of("Abs"),
    "ReduceSumSquare": reduce_of("Square"),
}
