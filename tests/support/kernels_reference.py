"""The sparse operators in plain numpy, for ``onnx.reference.ReferenceEvaluator(model, new_ops=KERNELS)``.

Activations are [C, H, W, N] float32. Sums run in float64: a comparison sees the rounding of the other side alone.
A second opinion: nothing here is taken from the tool.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from onnx.reference.op_run import OpRun

Array = np.ndarray[Any, Any]


class Window(NamedTuple):
    """The values that a kept weight reads and writes: places of the padded input channel, and an output channel."""

    place: int
    output: int
    channel: int
    rows: slice
    columns: slice


class Geometry(NamedTuple):
    """A convolution's attributes, and the height and width of its input."""

    kernel_shape: Sequence[int]
    strides: Sequence[int]
    pads: Sequence[int]
    dilations: Sequence[int]
    channels: int
    size: tuple[int, int]

    def output_size(self) -> tuple[int, int]:
        """Height and width of the output."""
        return (self._length(0), self._length(1))

    def padded(self, x: Array) -> Array:
        """The input with its borders, in float64."""
        top, left, bottom, right = self.pads
        return np.pad(x.astype(np.float64), ((0, 0), (top, bottom), (left, right), (0, 0)))

    def cropped(self, x: Array) -> Array:
        """The input without its borders, in float32."""
        top, left = self.pads[:2]
        return x[:, top : top + self.size[0], left : left + self.size[1]].astype(np.float32)

    def windows(self, index: Array, rows: Array) -> Iterator[Window]:
        """The windows of a weight, one for each live place."""
        height, width = self.kernel_shape
        for output in range(len(rows) - 1):
            for place in range(int(rows[output]), int(rows[output + 1])):
                within = int(index[place]) - output * self.channels * height * width
                channel, tap = divmod(within, height * width)
                row, column = divmod(tap, width)
                yield Window(place, output, channel, self._taps(0, row), self._taps(1, column))

    def _length(self, axis: int) -> int:
        span = (self.kernel_shape[axis] - 1) * self.dilations[axis] + 1
        return (self.size[axis] + self.pads[axis] + self.pads[axis + 2] - span) // self.strides[axis] + 1

    def _taps(self, axis: int, tap: int) -> slice:
        start = tap * self.dilations[axis]
        return slice(start, start + (self._length(axis) - 1) * self.strides[axis] + 1, self.strides[axis])


def vector(values: Array) -> Array:
    """[C] to [C, 1, 1, 1] in float64."""
    return values.astype(np.float64)[:, None, None, None]


class SparseConv(OpRun):
    """(x [C,H,W,N], values [K], index [K], rows [O+1], bias? [O]) -> y [O,Ho,Wo,N]."""

    op_domain = "sparcl"

    def _run(
        self, x: Array, values: Array, index: Array, rows: Array, bias: Array | None = None, **attributes: Any
    ) -> tuple[Array]:
        geometry = Geometry(size=x.shape[1:3], **attributes)
        padded = geometry.padded(x)
        y = np.zeros((len(rows) - 1, *geometry.output_size(), x.shape[3]))
        for one in geometry.windows(index, rows):
            y[one.output] += values[one.place] * padded[one.channel, one.rows, one.columns]
        return ((y if bias is None else y + vector(bias)).astype(np.float32),)


class SparseConvInputGrad(OpRun):
    """(dy [O,Ho,Wo,N], values [K], index [K], rows [O+1], addend? [C,H,W,N]) -> dx [C,H,W,N]."""

    op_domain = "sparcl"

    def _run(
        self,
        dy: Array,
        values: Array,
        index: Array,
        rows: Array,
        addend: Array | None = None,
        *,
        input_shape: Sequence[int],
        **attributes: Any,
    ) -> tuple[Array]:
        geometry = Geometry(size=tuple(input_shape), **attributes)
        start = np.zeros((geometry.channels, *input_shape, dy.shape[3])) if addend is None else addend
        dx = geometry.padded(start)
        for one in geometry.windows(index, rows):
            dx[one.channel, one.rows, one.columns] += values[one.place] * dy[one.output].astype(np.float64)
        return (geometry.cropped(dx),)


class SparseConvWeightGrad(OpRun):
    """(x [C,H,W,N], dy [O,Ho,Wo,N], index [K], rows [O+1], mask? [K]) -> dvalues [K]."""

    op_domain = "sparcl"

    def _run(
        self, x: Array, dy: Array, index: Array, rows: Array, mask: Array | None = None, **attributes: Any
    ) -> tuple[Array]:
        geometry = Geometry(size=x.shape[1:3], **attributes)
        padded = geometry.padded(x)
        gradient = np.zeros(len(index))
        for one in geometry.windows(index, rows):
            if mask is None or mask[one.place]:
                gradient[one.place] = np.sum(padded[one.channel, one.rows, one.columns] * dy[one.output])
        return (gradient.astype(np.float32),)


class BatchNormTraining(OpRun):
    """(x, scale, bias [C], addend?, mean, var [C]) -> (y, next_mean, next_var, saved_mean, saved_inv_std)."""

    op_domain = "sparcl"

    def _run(
        self,
        x: Array,
        scale: Array,
        bias: Array,
        addend: Array | None,
        mean: Array,
        var: Array,
        *,
        epsilon: float,
        momentum: float,
        relu: int,
    ) -> tuple[Array, ...]:
        wide = x.astype(np.float64)
        batch_mean, batch_var = wide.mean(axis=(1, 2, 3)), wide.var(axis=(1, 2, 3))
        inv_std = 1.0 / np.sqrt(batch_var + epsilon)
        y = (wide - vector(batch_mean)) * vector(inv_std * scale) + vector(bias)
        y = y if addend is None else y + addend
        moved = [old * momentum + new * (1.0 - momentum) for old, new in ((mean, batch_mean), (var, batch_var))]
        results = (np.maximum(y, 0.0) if relu else y, *moved, batch_mean, inv_std)
        return tuple(result.astype(np.float32) for result in results)


class BatchNormApply(OpRun):
    """(x, factor, offset [C], addend?) -> y."""

    op_domain = "sparcl"

    def _run(self, x: Array, factor: Array, offset: Array, addend: Array | None = None, *, relu: int) -> tuple[Array]:
        y = x.astype(np.float64) * vector(factor) + vector(offset)
        y = y if addend is None else y + addend
        return ((np.maximum(y, 0.0) if relu else y).astype(np.float32),)


class BatchNormGrad(OpRun):
    """(dy, x, scale, saved_mean, saved_inv_std, y?) -> (dx, dscale, dbias, daddend): the last is dy behind the Relu."""

    op_domain = "sparcl"

    def _run(
        self,
        dy: Array,
        x: Array,
        scale: Array,
        saved_mean: Array,
        saved_inv_std: Array,
        y: Array | None = None,
        *,
        relu: int,
    ) -> tuple[Array, ...]:
        gated = dy.astype(np.float64) * (y > 0) if relu else dy.astype(np.float64)
        normal = (x - vector(saved_mean)) * vector(saved_inv_std)
        dscale, dbias = np.sum(gated * normal, axis=(1, 2, 3)), np.sum(gated, axis=(1, 2, 3))
        count = x[0].size
        inner = gated - vector(dbias) / count - normal * vector(dscale) / count
        results = (inner * vector(saved_inv_std * scale), dscale, dbias, gated)
        return tuple(result.astype(np.float32) for result in results)


class MaxPoolBatchLast(OpRun):
    """(x [C,H,W,N]) -> y [C,Ho,Wo,N]."""

    op_domain = "sparcl"

    def _run(self, x: Array, **attributes: Any) -> tuple[Array]:
        return (np.max(candidates(x, **attributes), axis=0),)


class MaxPoolBatchLastGrad(OpRun):
    """(dy, x, y) -> dx: the first of equal pixels takes the gradient."""

    op_domain = "sparcl"

    def _run(self, dy: Array, x: Array, y: Array, **attributes: Any) -> tuple[Array]:
        numbers = np.arange(x.size, dtype=np.int64).reshape(x.shape)
        chosen = np.argmax(candidates(x, **attributes), axis=0)
        places = np.take_along_axis(candidates(numbers, -1, **attributes), chosen[None], axis=0)[0]
        dx = np.zeros(x.size, np.float64)
        np.add.at(dx, places.ravel(), dy.ravel().astype(np.float64))
        return (dx.reshape(x.shape).astype(np.float32),)


def candidates(
    x: Array,
    outside: float = -np.inf,
    *,
    kernel_shape: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
) -> Array:
    """The pixel that every output reads at each tap, [taps, C, Ho, Wo, N]."""
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=outside)
    reach = [(kernel_shape[axis] - 1) * dilations[axis] for axis in (0, 1)]
    ends = [padded.shape[axis + 1] - reach[axis] for axis in (0, 1)]
    return np.stack(
        [
            padded[:, row : row + ends[0] : strides[0], column : column + ends[1] : strides[1]]
            for row in range(0, reach[0] + 1, dilations[0])
            for column in range(0, reach[1] + 1, dilations[1])
        ]
    )


KERNELS = [
    *(SparseConv, SparseConvInputGrad, SparseConvWeightGrad),
    *(BatchNormTraining, BatchNormApply, BatchNormGrad, MaxPoolBatchLast, MaxPoolBatchLastGrad),
]
