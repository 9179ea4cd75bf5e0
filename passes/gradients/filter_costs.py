"""The times of the forms of a convolution's weight gradient: the table by which the target ``ort`` chooses.

A form's time is a sum over what it does, each counted and multiplied by a rate; only the choice depends on it. The
rates were fitted, by least squares of the relative errors, to the times of 1053 layers for a batch of 32 on one core of
an AMD EPYC with AVX-512, in onnxruntime 1.32.0, in seconds of the processor, since the machine was busy: 1034 random
ones, and 19 of ResNet-18 in widths 20 and 64 and of a depthwise network, which count twenty times. Then each form got a
factor (0.85 to 1.14) with which the choice loses the least. Rates from one half of the layers choose forms for the
other half that take 1.2 % more time in all than the fastest ones; the layers of the networks stand in both halves, and
with random layers alone it is 2.5 %. ``python -m benchmarks.filters`` measures and fits.
"""

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping

from sparcl_compile.passes.gradients.window import Window

BATCH = 32
"""Samples for which the times hold."""
LANES = 16
"""Columns of the right operand that ONNX Runtime multiplies at once: a product has no fewer."""

RATES: Mapping[str, Mapping[str, float]] = {
    "samples": {"pieces": 6260, "moved": 0.19, "runs": 1.97, "weights": 0.403, "multiplied": 0.0285, "packed": 0.184},
    "groups": {"step": 130000, "pieces": 2090, "moved": 0.246, "runs": 1.03, "multiplied": 0.0368, "packed": 0.0117},
    "dots": {"pieces": 6970, "runs": 7.43, "weights": 1680, "multiplied": 0.236},
    "samples_turned": {"pieces": 7270, "moved": 0.337, "weights": 11.8, "multiplied": 0.0217, "packed": 0.108},
    "rows": {"moved": 0.253, "runs": 0.354, "weights": 10.7, "multiplied": 0.0199, "packed": 0.186},
    "crossing": {"moved": 0.319, "weights": 16.2, "multiplied": 0.0205, "packed": 0.0495},
    "batch": {"moved": 0.262, "turned": 0.347, "multiplied": 0.0207, "packed": 0.161},
    "patches": {"moved": 0.324, "runs": 2.62, "weights": 17.7, "multiplied": 0.0224, "packed": 0.0424},
    "channels": {"moved": 0.175, "runs": 2.92, "walked": 0.377},
    "columns": {"turned": 0.323, "paired": 1.04, "multiplied": 0.025, "called": 746, "summed": 4.75},
}
"""Nanoseconds for one of what is counted, by form."""


@dataclasses.dataclass(frozen=True)
class Layer:
    """A convolution whose weight gradient is wanted.

    Attributes:
        window: its geometry.
        inner: input channels of a group.
        outer: output channels of a group.
    """

    window: Window
    inner: int
    outer: int

    @property
    def filters(self) -> int:
        """All output channels."""
        return self.window.groups * self.outer

    @property
    def is_whole(self) -> bool:
        """Whether there is one group."""
        return self.window.groups == 1

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel has one filter of its own."""
        return self.inner == self.outer == 1 and self.window.groups > 1

    @property
    def all_meet(self) -> bool:
        """Whether every tap meets the input, and not its padding alone."""
        return all(map(self.window.meets, self.window.taps))

    @property
    def taps(self) -> int:
        """Number of the kernel's elements."""
        return math.prod(self.window.kernel)

    @property
    def rows(self) -> int:
        """Number of the kernel's rows: of its elements in all axes but the last."""
        return self.taps // self.window.kernel[-1]

    @property
    def positions(self) -> int:
        """Positions of the output, which a product sums over."""
        return math.prod(self.window.outputs)

    @property
    def x(self) -> int:
        """Elements of X."""
        return BATCH * self.window.groups * self.inner * math.prod(self.window.inputs)

    @property
    def dy(self) -> int:
        """Elements of dY."""
        return BATCH * self.filters * self.positions

    @property
    def moved(self) -> int:
        """Elements that are written to bring X and dY together, and to take X apart into phases."""
        strided = self.x if max(self.window.strides) > 1 else 0
        return strided + (self.window.kernel[-1] - 1) * self.x + (self.rows - 1) * self.dy


Counts = Mapping[str, float]
"""Names of the rates: the kinds of work that a form does."""


def _products(number: int, left: int, over: int, right: int) -> Counts:
    """The work of ``number`` products [left, over] x [over, right]."""
    columns = -(-right // LANES) * LANES
    return {
        "multiplied": number * left * over * columns,
        "packed": number * over * columns,
        "called": number,
        "summed": number * left * right,
    }


def _moves(layer: Layer, moved: int, pieces: int) -> Counts:
    """What is done to bring X and dY together, and to put the gradients of pieces into one tensor."""
    return {
        "step": 1,
        "pieces": pieces,
        "moved": moved,
        "runs": moved / layer.window.outputs[-1],
        "weights": layer.filters * layer.inner * layer.taps,
    }


Count = Callable[[Layer], Counts | None]
"""Counts what a form does, None where it cannot be written."""


def _samples(layer: Layer) -> Counts | None:
    made = _products(layer.taps * BATCH, layer.outer, layer.positions, layer.inner)
    return {**_moves(layer, layer.moved, layer.taps), **made} if layer.is_whole else None


def _groups(layer: Layer) -> Counts | None:
    made = _products(layer.taps * BATCH * layer.window.groups, layer.outer, layer.positions, layer.inner)
    others = layer.is_whole or layer.is_depthwise
    return None if others else {**_moves(layer, layer.moved, layer.taps), **made}


def _dots(layer: Layer) -> Counts | None:
    number = layer.taps * BATCH * layer.filters
    made = {"called": number, "multiplied": number * layer.positions}
    return {**_moves(layer, layer.moved, layer.taps), **made} if layer.is_depthwise else None


def _samples_turned(layer: Layer) -> Counts | None:
    made = _products(layer.taps * BATCH, layer.inner, layer.positions, layer.outer)
    moves = _moves(layer, layer.moved, layer.taps)
    return {**moves, **made} if layer.is_whole and layer.all_meet else None


def _rows(layer: Layer) -> Counts | None:
    columns = layer.window.kernel[-1]
    made = _products(layer.rows * BATCH, layer.outer, layer.positions, columns * layer.inner)
    moves = _moves(layer, layer.moved + columns * layer.x, layer.rows)
    return {**moves, **made} if layer.is_whole and layer.all_meet and columns > 1 else None


def _crossing(layer: Layer) -> Counts | None:
    """Without strides every tap has the same positions."""
    columns, steps = layer.window.kernel[-1], max(layer.window.strides)
    if not layer.is_whole or not layer.all_meet or steps > 1 or layer.rows == 1 or columns == 1:
        return None
    made = _products(BATCH, layer.rows * layer.outer, layer.positions, columns * layer.inner)
    moves = _moves(layer, layer.moved + columns * layer.x + layer.rows * layer.dy, 1)
    return {**moves, **made}


def _batch(layer: Layer) -> Counts | None:
    made = _products(layer.taps, layer.outer, BATCH * layer.positions, layer.inner)
    moves = _moves(layer, layer.moved, layer.taps)
    # Rows of samples are moved, which are long whatever the plane.
    rows = {"turned": layer.x + layer.dy, "runs": layer.moved / BATCH}
    return {**moves, **rows, **made} if layer.is_whole else None


def _patches(layer: Layer) -> Counts | None:
    made = _products(BATCH, layer.taps * layer.inner, layer.positions, layer.outer)
    moves = _moves(layer, 2 * layer.taps * BATCH * layer.inner * layer.positions, layer.taps)
    return {**moves, **made} if layer.is_whole and layer.all_meet and layer.taps > 1 else None


def _channels(layer: Layer) -> Counts | None:
    sums = {"called": layer.taps * BATCH * layer.filters, "walked": layer.taps * layer.dy}
    return {**_moves(layer, layer.moved, layer.taps), **sums} if layer.is_depthwise else None


def _columns(layer: Layer) -> Counts | None:
    if not layer.is_depthwise or not layer.all_meet:
        return None
    inputs, outputs = layer.window.inputs[-1], layer.window.outputs[-1]
    made = _products(layer.rows * layer.filters, inputs, BATCH * layer.positions // outputs, outputs)
    moves = _moves(layer, (layer.rows - 1) * layer.dy, layer.rows)
    paired = layer.taps * layer.filters * inputs * outputs
    return {**moves, "turned": layer.x + layer.dy, "paired": paired, **made}


COUNTS: Mapping[str, Count] = {
    "samples": _samples,
    "groups": _groups,
    "dots": _dots,
    "samples_turned": _samples_turned,
    "rows": _rows,
    "crossing": _crossing,
    "batch": _batch,
    "patches": _patches,
    "channels": _channels,
    "columns": _columns,
}
"""Work of each form of passes/gradients/filters.py, by rate."""


def seconds(form: str, layer: Layer) -> float | None:
    """The time of a form for a batch of 32 on one thread; None where it cannot be written."""
    counts = COUNTS[form](layer)
    return None if counts is None else 1e-9 * sum(RATES[form].get(name, 0.0) * n for name, n in counts.items())


def cheapest(layer: Layer, without: Collection[str] = ()) -> str:
    """The form that takes the least time, of those that are not left out."""
    times = {form: seconds(form, layer) for form in COUNTS if form not in without}
    return min((time, form) for form, time in times.items() if time is not None)[1]
