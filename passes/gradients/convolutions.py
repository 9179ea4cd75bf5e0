"""Convolutions: the gradients in the forms that ONNX Runtime computes fastest."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import Attributes, int_attribute, ints_attribute, string_attribute
from sparcl_compile.passes.gradients.gradient import Gradient, Rule, each

MANY_POSITIONS = 200
"""From so many output positions a product for each tap of the kernel is faster than one product over all taps (measured
with ONNX Runtime 1.31.1, one thread: at 32x32 and 16x16 by 1.6 and 1.4, at 8x8 slower by 1.1).
"""


SHORT_ROW = 40
"""Up to this length of a row the gradient of a depthwise filter is a product for each row of the kernel: it multiplies
every pair of columns, of which a tap needs one for each column, but moves a third of the memory.
"""


@dataclasses.dataclass(frozen=True)
class Window:
    """The geometry of a convolution over any number of spatial axes.

    Attributes:
        kernel: length by spatial axis.
        strides: steps by spatial axis.
        dilations: distances of the taps by spatial axis.
        before: rows of zeros in front of each spatial axis.
        after: rows of zeros behind each spatial axis.
        groups: number of groups of channels.
        inputs: lengths of the input's spatial axes.
        outputs: lengths of the output's spatial axes.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    groups: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def axes(self) -> int:
        """Number of spatial axes."""
        return len(self.kernel)

    @property
    def reach(self) -> tuple[int, ...]:
        """Length of the dilated kernel by axis."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def padded(self) -> tuple[int, ...]:
        """Lengths of the padded input's spatial axes."""
        return tuple(sum(parts) for parts in zip(self.inputs, self.before, self.after, strict=True))

    @property
    def left_over(self) -> tuple[int, ...]:
        """Rows of the padded input that a stride leaves over at the end of each axis."""
        parts = zip(self.padded, self.reach, self.strides, strict=True)
        return tuple((length - reach) % stride for length, reach, stride in parts)

    @property
    def taps(self) -> list[tuple[int, ...]]:
        """The offset of each element of the kernel in the padded input."""
        offsets = ([k * d for k in range(n)] for n, d in zip(self.kernel, self.dilations, strict=True))
        return list(itertools.product(*offsets))

    def ends(self, tap: Sequence[int]) -> list[int]:
        """Where the rows that meet a tap end, by axis."""
        parts = zip(tap, self.outputs, self.strides, strict=True)
        return [offset + (length - 1) * stride + 1 for offset, length, stride in parts]


def window_of(g: Gradient, inputs: ir.Value, outputs: ir.Value) -> Window:
    """The geometry of a Conv between two values; raises UnsupportedOpsError where a length is unknown."""
    if string_attribute(g.node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID") or "output_shape" in g.node.attributes:
        raise g.refusal("leaves its padding open")
    kernel = tuple(g.static(g.input(1))[2:])
    axes = len(kernel)
    pads = ints_attribute(g.node, "pads", [0] * 2 * axes)
    return Window(
        kernel=kernel,
        strides=tuple(ints_attribute(g.node, "strides", [1] * axes)),
        dilations=tuple(ints_attribute(g.node, "dilations", [1] * axes)),
        before=tuple(pads[:axes]),
        after=tuple(pads[axes:]),
        groups=int_attribute(g.node, "group", 1),
        inputs=tuple(g.static(inputs, 2)),
        outputs=tuple(g.static(outputs, 2)),
    )


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
    weight, axes = g.input(1), window.axes
    outer, inner, *_ = g.static(weight)
    groups, spatial = window.groups, list(range(2, 2 + axes))
    if groups == 1:
        swapped = g.transposed(weight, [1, 0, *spatial])
    elif groups == outer and inner == 1:
        swapped = weight
    else:
        apart = g.reshaped(weight, [groups, outer // groups, inner, *window.kernel])
        turned = g.transposed(apart, [0, 2, 1, *(axis + 1 for axis in spatial)])
        swapped = g.reshaped(turned, [groups * inner, outer // groups, *window.kernel])
    if math.prod(window.kernel) == 1:
        return swapped
    return g.sliced(swapped, [-1] * axes, [-(2**62)] * axes, spatial, [-1] * axes)


def _weight(g: Gradient) -> ir.Value:
    """The weight's gradient: the cheapest of its forms."""
    window = window_of(g, g.x, g.y)
    outer, inner, *_ = g.static(g.input(1))
    if window.groups == 1:
        return _whole(g, window)
    return _depthwise(g, window) if outer == window.groups and inner == 1 else _grouped(g, window)


def _padded(g: Gradient, window: Window) -> ir.Value:
    return g.padded(g.x, [0, 0, *window.before], [0, 0, *window.after])


def _meeting(g: Gradient, window: Window, value: ir.Value, first: int) -> list[ir.Value]:
    """For each tap the part of the padded input that it meets; ``first`` is the first spatial axis."""
    if len(window.taps) == 1 and window.outputs == window.padded:
        return [value]
    axes = list(range(first, first + window.axes))
    return [g.sliced(value, tap, window.ends(tap), axes, window.strides) for tap in window.taps]


def _whole(g: Gradient, window: Window) -> ir.Value:
    """DY [O, positions] times X [I, positions] turned over, by tap or over all taps at once.

    Channels go to the front, which moves whole planes; to the back they would be moved element by element.
    """
    outer, inner, *_ = g.static(g.input(1))
    spatial = list(range(2, 2 + window.axes))
    rows = g.reshaped(g.transposed(g.dy, [1, 0, *spatial]), [outer, -1])
    first = g.transposed(_padded(g, window), [1, 0, *spatial])
    parts = [g.reshaped(part, [inner, -1]) for part in _meeting(g, window, first, 2)]
    if len(parts) == 1 or math.prod(window.outputs) >= MANY_POSITIONS:
        return _stacked(g, [g.op("Gemm", rows, part, transB=1) for part in parts], window)
    product = g.op("Gemm", rows, g.op("Concat", *parts, axis=0), transB=1)
    apart = g.reshaped(product, [outer, *window.kernel, inner])
    return g.transposed(apart, [0, window.axes + 1, *range(1, 1 + window.axes)])


def _stacked(g: Gradient, by_tap: Sequence[ir.Value], window: Window) -> ir.Value:
    """The gradients of the taps, all but the spatial axes each, as one tensor in the weight's shape."""
    shape = g.static(g.input(1))
    if len(by_tap) == 1:
        return g.reshaped(by_tap[0], shape)
    last = len(shape) - window.axes
    return g.reshaped(g.op("Concat", *(g.op("Unsqueeze", one, g.ints([last])) for one in by_tap), axis=last), shape)


def _depthwise(g: Gradient, window: Window) -> ir.Value:
    """The gradient of one filter a channel: by rows of the kernel where rows of the image are short, else by taps."""
    return _by_rows(g, window) if window.padded[-1] <= SHORT_ROW else _by_taps(g, window)


def _by_taps(g: Gradient, window: Window) -> ir.Value:
    """For each tap the sum of products over the batch and the positions."""
    over = [0, *range(2, 2 + window.axes)]
    channels = window.groups
    parts = _meeting(g, window, _padded(g, window), 2)
    by_tap = [g.reshaped(g.summed(g.mul(part, g.dy), over), [channels, 1]) for part in parts]
    return _stacked(g, by_tap, window)


def _by_rows(g: Gradient, window: Window) -> ir.Value:
    """For each row of the kernel one product of matrices a channel.

    Along the last axis every element of a row of X meets every one of dY, over all rows and samples at once: a product
    [columns of X, rows] x [rows, columns of dY], of which the taps of the kernel's row are sums along diagonals.
    """
    axes, channels = window.axes, window.groups
    rows_of_axes = list(range(2, 1 + axes))
    order = [1, 0, *rows_of_axes, 1 + axes]
    first = g.transposed(_padded(g, window), order)
    right = g.reshaped(g.transposed(g.dy, order), [channels, -1, window.outputs[-1]])
    rows = dataclasses.replace(
        window,
        kernel=window.kernel[:-1],
        strides=window.strides[:-1],
        dilations=window.dilations[:-1],
        before=window.before[:-1],
        after=window.after[:-1],
        inputs=window.inputs[:-1],
        outputs=window.outputs[:-1],
    )
    parts = _meeting(g, rows, first, 2) if axes > 1 else [first]
    flat = [g.reshaped(part, [channels, -1, window.padded[-1]]) for part in parts]
    across = [g.op("MatMul", g.transposed(part, [0, 2, 1]), right) for part in flat]
    pairs = window.padded[-1] * window.outputs[-1]
    joined = g.op("Concat", *across, axis=1) if len(across) > 1 else across[0]
    products = g.reshaped(joined, [channels, len(across), pairs])
    return g.reshaped(g.op("MatMul", products, g.const("diagonals", _diagonals(window))), g.static(g.input(1)))


def _diagonals(window: Window) -> np.ndarray:
    """Which pairs of columns of X and of dY meet at each tap of a kernel's row: 0 or 1, [pairs, taps]."""
    found = np.zeros((window.padded[-1], window.outputs[-1], window.kernel[-1]), np.float32)
    for tap in range(window.kernel[-1]):
        columns = np.arange(window.outputs[-1])
        found[columns * window.strides[-1] + tap * window.dilations[-1], columns, tap] = 1.0
    return found.reshape(-1, window.kernel[-1])


def _grouped(g: Gradient, window: Window) -> ir.Value:
    return _by_groups(g, window, g.dy, _padded(g, window))


def _by_groups(g: Gradient, window: Window, rows: ir.Value, padded: ir.Value) -> ir.Value:
    """For each group and tap a product of matrices.

    Args:
        g: the gradient.
        window: the geometry.
        rows: [N, groups * O, positions ...], which have the weight's first axis.
        padded: [N, groups * I, ...], which has its second axis.
    """
    outer, inner, *_ = g.static(g.input(1))
    groups, positions = window.groups, math.prod(window.outputs)
    apart = g.reshaped(rows, [-1, groups, outer // groups, positions])
    left = g.reshaped(g.transposed(apart, [1, 2, 0, 3]), [groups, outer // groups, -1])
    right = [g.reshaped(part, [-1, groups, inner, positions]) for part in _meeting(g, window, padded, 2)]
    columns = [g.reshaped(g.transposed(part, [1, 0, 3, 2]), [groups, -1, inner]) for part in right]
    return _stacked(g, [g.reshaped(g.op("MatMul", left, part), [outer, inner]) for part in columns], window)


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
    """The weight's gradient of a ConvTranspose: a product for each group and tap."""
    window = window_of(g, g.y, g.x)
    padded = g.padded(g.dy, [0, 0, *window.before], [0, 0, *window.after])
    return _by_groups(g, window, g.x, padded)


RULES: Mapping[str, Rule] = {
    "Conv": each(_input, _weight, _bias),
    "ConvTranspose": each(_transposed_input, _transposed_weight, _bias),
}
