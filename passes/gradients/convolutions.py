"""Convolutions: the gradients in the forms that ONNX Runtime computes fastest."""

import math
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import Attributes
from sparcl_compile.passes.gradients.filter_choice import weight_gradient
from sparcl_compile.passes.gradients.gradient import Gradient, Rule, each
from sparcl_compile.passes.gradients.window import Window, window_of

FEW_TAPS = 49
"""Elements of a kernel up to which a product turns it round: its work grows with their square."""


def _input(g: Gradient) -> ir.Value:
    """The input's gradient: a Conv with the flipped weights where the stride is 1, else a ConvTranspose."""
    window = window_of(g, g.x, g.y)
    margins = [
        tuple(reach - 1 - pad for reach, pad in zip(window.reach, pads, strict=True))
        for pads in (window.before, window.after)
    ]
    attributes: Attributes = {
        "kernel_shape": list(window.kernel),
        "dilations": list(window.dilations),
        "group": window.groups,
    }
    if set(window.strides) == {1} and min(*margins[0], *margins[1]) >= 0:
        flipped = _flipped(g, window)
        return g.op("Conv", g.dy, flipped, pads=[*margins[0], *margins[1]], **attributes)
    return g.op(
        "ConvTranspose",
        g.dy,
        g.input(1),
        strides=list(window.strides),
        pads=[*window.before, *window.after],
        output_padding=list(window.left_over),
        **attributes,
    )


def _flipped(g: Gradient, window: Window) -> ir.Value:
    """The weights [O, I / groups, ...] as [I, O / groups, ...], turned round along every spatial axis."""
    weight, groups, taps = g.input(1), window.groups, math.prod(window.kernel)
    outer, inner, *_ = g.static(weight)
    if groups == 1 and 1 < taps <= FEW_TAPS:
        return _turned_by_product(g, weight, window)
    axes, spatial = window.axes, list(range(2, 2 + window.axes))
    if groups == 1:
        swapped = g.transposed(weight, [1, 0, *spatial])
    elif groups == outer and inner == 1:
        swapped = weight
    else:
        apart = g.reshaped(weight, [groups, outer // groups, inner, *window.kernel])
        turned = g.transposed(apart, [0, 2, 1, *(axis + 1 for axis in spatial)])
        swapped = g.reshaped(turned, [groups * inner, outer // groups, *window.kernel])
    if taps == 1:
        return swapped
    return g.sliced(swapped, [-1] * axes, [-(2**62)] * axes, spatial, [-1] * axes)


def _turned_by_product(g: Gradient, weight: ir.Value, window: Window) -> ir.Value:
    """The same for one group: the taps' order is turned round by a product with a permutation, which is exact.

    A Transpose and a Slice with steps of -1 move element by element, and take two to four times as long.
    """
    (outer, inner, *_), taps = g.static(weight), math.prod(window.kernel)
    across = g.transposed(g.reshaped(weight, [outer, inner * taps]), [1, 0])
    reverse = g.shared(f"reverse_{taps}", np.eye(taps, dtype=np.float32)[::-1])
    turned = g.op("MatMul", reverse, g.reshaped(across, [inner, taps, outer]))
    return g.reshaped(g.transposed(turned, [0, 2, 1]), [inner, outer, *window.kernel])


def _weight(g: Gradient) -> ir.Value:
    return weight_gradient(g, window_of(g, g.x, g.y), g.x, g.dy)


def _bias(g: Gradient) -> ir.Value:
    return g.summed(g.dy, [0, *range(2, g.rank(g.y))])


def _transposed_input(g: Gradient) -> ir.Value:
    """The input's gradient of a ConvTranspose: the Conv of dy with the same weights, from the output to the input."""
    window = window_of(g, g.y, g.x)
    return g.op(
        "Conv",
        g.dy,
        g.input(1),
        kernel_shape=list(window.kernel),
        strides=list(window.strides),
        dilations=list(window.dilations),
        group=window.groups,
        pads=[*window.before, *window.after],
    )


def _transposed_weight(g: Gradient) -> ir.Value:
    """The weight's gradient of a ConvTranspose, which is that of the Conv from its output to its input."""
    return weight_gradient(g, window_of(g, g.y, g.x), g.dy, g.x)


RULES: Mapping[str, Rule] = {
    "Conv": each(_input, _weight, _bias),
    "ConvTranspose": each(_transposed_input, _transposed_weight, _bias),
}
