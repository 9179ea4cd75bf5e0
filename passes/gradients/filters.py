"""The gradient of a convolution's weight, in several forms of which one is written (filter_choice.py).

A tap's gradient is the product of dY with those rows of X that it meets. To bring both together, X is moved along the
last axis and dY along all others, with zeros for what leaves and enters: a kernel of 3 by 3 takes three parts of each
for its nine products, where nine parts of X would be cut out otherwise. With strides, X is first taken apart into the
rows of each phase, so that every element is read once and not once for each tap.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.gradients.filter_parts import Parts
from sparcl_compile.passes.gradients.window import Tap, Window


def by_samples(parts: Parts) -> ir.Value:
    """For each tap, sample and group a product [O, positions] x [positions, I], summed over the samples."""
    g, layer = parts.g, parts.layer

    def product(tap: Tap) -> ir.Value:
        left = _flat(parts, parts.upstream(tap), layer.outer, tap)
        right = _across(parts, parts.met(tap), layer.inner, tap)
        summed = g.summed(g.op("MatMul", left, right), [0])
        return summed if layer.is_whole else g.reshaped(summed, [layer.filters, layer.inner])

    return _by_tap(parts, product)


def by_samples_turned(parts: Parts) -> ir.Value:
    """For each tap and sample a product [I, positions] x [positions, O], summed over the samples; not for groups."""
    g, layer = parts.g, parts.layer

    def product(tap: Tap) -> ir.Value:
        left = _flat(parts, parts.met(tap), layer.inner, tap)
        right = _across(parts, parts.upstream(tap), layer.outer, tap)
        return g.summed(g.op("MatMul", left, right), [0])

    return _upright(parts, [product(tap) for tap in layer.window.taps])


def by_rows(parts: Parts) -> ir.Value:
    """For each row of the kernel and sample a product with the parts of X of the whole row."""
    g, layer = parts.g, parts.layer
    *others, last = (range(length) for length in layer.window.kernel)

    def product(row: Tap) -> ir.Value:
        first = (*row, 0)
        left = _flat(parts, parts.upstream(first), layer.outer, first)
        pieces = [_flat(parts, parts.met((*row, place)), layer.inner, first) for place in last]
        joined = parts.once(("joined", *pieces), lambda: g.op("Concat", *pieces, axis=1))
        right = parts.once(("across", joined), lambda: g.transposed(joined, [0, 2, 1]))
        return g.summed(g.op("MatMul", left, right), [0])

    return _in_shape(parts, [product(row) for row in itertools.product(*others)])


def by_crossing(parts: Parts) -> ir.Value:
    """For each sample one product of all that dY is moved by with all that X is moved by; without strides.

    Every pair of the two is a tap: rows of the kernel by DY, places in the row by X.
    """
    g, layer, kernel = parts.g, parts.layer, parts.layer.window.kernel
    first = (0,) * len(kernel)
    rows = [(*row, 0) for row in itertools.product(*map(range, kernel[:-1]))]
    above = [_flat(parts, parts.upstream(tap), layer.outer, first) for tap in rows]
    along = [_flat(parts, parts.met((*first[:-1], place)), layer.inner, first) for place in range(kernel[-1])]
    left, right = (g.op("Concat", *pieces, axis=1) if len(pieces) > 1 else pieces[0] for pieces in (above, along))
    product = g.summed(g.op("MatMul", left, g.transposed(right, [0, 2, 1])), [0])
    apart = g.reshaped(product, [len(rows), layer.outer, kernel[-1], layer.inner])
    return g.reshaped(g.transposed(apart, [1, 3, 0, 2]), g.static(g.input(1)))


def by_batch(parts: Parts) -> ir.Value:
    """For each tap one product over the positions of all samples; not for groups."""
    g, layer, turned = parts.g, parts.layer, parts.with_samples_last()

    def product(tap: Tap) -> ir.Value:
        left = _matrix(turned, turned.upstream(tap), layer.outer)
        return g.op("Gemm", left, _matrix(turned, turned.met(tap), layer.inner), transB=1)

    return _by_tap(parts, product)


def by_patches(parts: Parts) -> ir.Value:
    """For each sample one product of all taps' parts of X with dY: where X has few channels; not for groups."""
    g, layer, window = parts.g, parts.layer, parts.window
    positions = math.prod(window.outputs)
    pieces = [g.reshaped(parts.cut_out(tap), [-1, layer.inner, positions]) for tap in window.taps]
    left = g.op("Concat", *pieces, axis=1)
    right = g.transposed(g.reshaped(parts.dy, [-1, layer.outer, positions]), [0, 2, 1])
    return _upright(parts, [g.summed(g.op("MatMul", left, right), [0])])


def by_channels(parts: Parts) -> ir.Value:
    """For each tap the sum of products over the samples and positions of a channel: one filter a channel."""
    g, layer = parts.g, parts.layer

    def product(tap: Tap) -> ir.Value:
        both = (parts.channels(part, tap) for part in (parts.met(tap), parts.upstream(tap)))
        return g.reshaped(g.summed(g.mul(*both), [0, 2]), [layer.filters, 1])

    return _by_tap(parts, product)


def by_columns(parts: Parts) -> ir.Value:
    """For each row of the kernel and channel a product of columns: one filter a channel, and short rows.

    Along the last axis every element of a row of X meets every one of dY, over all rows and samples at once: a product
    [columns of X, rows] x [rows, columns of dY], of which the taps of the kernel's row are sums along diagonals.
    """
    g, layer = parts.g, parts.layer
    window, channels = layer.window, layer.filters
    turned = parts.turned()
    rows = Parts(g, dataclasses.replace(layer, window=window.without_last), turned.x, turned.dy)

    def product(row: Tap) -> ir.Value:
        first = (*row, 0)
        met = rows.met(first)
        right = g.reshaped(turned.upstream(first), [channels, -1, window.outputs[-1]])
        flat = rows.once(("flat", met), lambda: g.reshaped(met, [channels, -1, window.inputs[-1]]))
        return g.op("MatMul", rows.once(("across", met), lambda: g.transposed(flat, [0, 2, 1])), right)

    across = [product(row) for row in itertools.product(*(range(length) for length in window.kernel[:-1]))]
    joined = g.op("Concat", *across, axis=1) if len(across) > 1 else across[0]
    products = g.reshaped(joined, [channels, len(across), window.inputs[-1] * window.outputs[-1]])
    return g.reshaped(g.op("MatMul", products, g.const("diagonals", _diagonals(window))), g.static(g.input(1)))


FORMS: Mapping[str, Callable[[Parts], ir.Value]] = {
    "samples": by_samples,
    "groups": by_samples,
    "dots": by_samples,
    "samples_turned": by_samples_turned,
    "rows": by_rows,
    "crossing": by_crossing,
    "batch": by_batch,
    "patches": by_patches,
    "channels": by_channels,
    "columns": by_columns,
}
"""The forms by the name that the table of costs knows them by."""


def _flat(parts: Parts, part: ir.Value, channels: int, tap: Tap) -> ir.Value:
    """[N, groups, channels, positions], without the groups where there is one."""
    lengths = [*parts.lead, channels, parts.positions(tap)]
    return parts.once(("flat", part), lambda: parts.g.reshaped(part, lengths))


def _across(parts: Parts, part: ir.Value, channels: int, tap: Tap) -> ir.Value:
    """[N, groups, positions, channels]."""
    flat, first = _flat(parts, part, channels, tap), len(parts.lead)
    order = [*range(first), first + 1, first]
    return parts.once(("across", part), lambda: parts.g.transposed(flat, order))


def _matrix(parts: Parts, part: ir.Value, channels: int) -> ir.Value:
    return parts.once(("matrix", part), lambda: parts.g.reshaped(part, [channels, -1]))


def _by_tap(parts: Parts, product: Callable[[Tap], ir.Value]) -> ir.Value:
    """The taps' gradients [groups * O, I] as one tensor; 0 for a tap that meets nothing but padding."""
    layer = parts.layer

    def gradient(tap: Tap) -> ir.Value:
        return product(tap) if layer.window.meets(tap) else parts.g.filled(0.0, [layer.filters, layer.inner])

    return _in_shape(parts, [gradient(tap) for tap in layer.window.taps])


def _upright(parts: Parts, pieces: Sequence[ir.Value]) -> ir.Value:
    """Gradients [taps * I, O], turned into the weight's shape."""
    g = parts.g
    joined = g.op("Concat", *pieces, axis=0) if len(pieces) > 1 else pieces[0]
    return _in_shape(parts, [g.transposed(joined, [1, 0])])


def _in_shape(parts: Parts, pieces: Sequence[ir.Value]) -> ir.Value:
    """Gradients [groups * O, taps * I] in the weight's shape. Both walks are ones that ONNX Runtime has code for."""
    g, layer = parts.g, parts.layer
    taps, shape = len(layer.window.taps), g.static(g.input(1))
    joined = g.op("Concat", *pieces, axis=1) if len(pieces) > 1 else pieces[0]
    if taps == 1 or layer.inner == 1:
        return g.reshaped(joined, shape)
    apart = g.reshaped(joined, [layer.filters, taps, layer.inner])
    return g.reshaped(g.transposed(apart, [0, 2, 1]), shape)


def _diagonals(window: Window) -> np.ndarray:
    """Which pairs of columns of X and of dY meet at each tap of a kernel's row: 0 or 1, [pairs, taps]."""
    inputs, outputs, taps = window.inputs[-1], window.outputs[-1], window.kernel[-1]
    found = np.zeros((inputs, outputs, taps), np.float32)
    for tap in range(taps):
        columns = np.arange(outputs)
        met = columns * window.strides[-1] + tap * window.dilations[-1] - window.before[-1]
        inside = (met >= 0) & (met < inputs)
        found[met[inside], columns[inside], tap] = 1.0
    return found.reshape(-1, taps)
