"""The times of the forms of a convolution's weight gradient: the table by which the target ``ort`` chooses.

A form's time is a sum over what it does, each counted and multiplied by a rate; only the choice depends on it. The
rates were fitted, by least squares of the relative errors, to the times of 1654 random layers for a batch of 32 on one
core of an AMD EPYC with AVX-512, in onnxruntime-training 1.19.2, in seconds of the processor, since the machine was
busy. A form's time is off by 12 to 25 % (with groups by 45 %); of these layers, the forms that the table chooses took
2.4 % more than the fastest ones. ``python -m benchmarks.filters`` measures and fits again.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping

from sparcl_compile.passes.gradients.window import Window

BATCH = 32
"""Samples for which the times hold."""
LANES = 16
"""Columns of the right operand that ONNX Runtime multiplies at once: a product has no fewer."""

RATES: Mapping[str, Mapping[str, float]] = {
    "samples": {
        "step": 11100,
        "pieces": 5160,
        "moved": 0.156,
        "runs": 2.35,
        "weights": 0.209,
        "multiplied": 0.0229,
        "packed": 0.199,
    },
    "groups": {"step": 153000, "pieces": 1420, "moved": 0.198, "runs": 1.16, "multiplied": 0.0354, "packed": 0.0131},
    "dots": {"step": 44000, "pieces": 5220, "runs": 8.14, "weights": 1730, "multiplied": 0.234},
    "samples_turned": {
        "pieces": 9450,
        "moved": 0.291,
        "runs": 1.17,
        "weights": 6.54,
        "multiplied": 0.0237,
        "packed": 0.0661,
    },
    "rows": {"moved": 0.151, "runs": 1.53, "weights": 9.95, "multiplied": 0.0187, "packed": 0.256},
    "crossing": {"moved": 0.151, "runs": 1.53, "weights": 9.95, "multiplied": 0.0187, "packed": 0.256},
    "batch": {"step": 26900, "moved": 0.291, "runs": 1.56, "turned": 0.213, "multiplied": 0.0199, "packed": 0.211},
    "patches": {"moved": 0.241, "runs": 2.86, "weights": 11.6, "multiplied": 0.0224},
    "channels": {"moved": 0.14, "runs": 3.08, "walked": 0.376},
    "columns": {"turned": 0.335, "paired": 0.769, "multiplied": 0.0275, "called": 659, "summed": 4.47},
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
"""How much of each is done: the names of the rates."""


def _products(number: int, left: int, over: int, right: int) -> Counts:
    """What products [left, over] x [over, right] do."""
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
    return {**moves, "turned": layer.x + layer.dy, **made} if layer.is_whole else None


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
"""What each form of passes/gradients/filters.py does."""


def seconds(form: str, layer: Layer) -> float | None:
    """The time of a form for a batch of 32 on one thread; None where it cannot be written."""
    counts = COUNTS[form](layer)
    return None if counts is None else 1e-9 * sum(RATES[form].get(name, 0.0) * n for name, n in counts.items())


def cheapest(layer: Layer) -> str:
    """The form that takes the least time."""
    times = {form: seconds(form, layer) for form in COUNTS}
    return min((time, form) for form, time in times.items() if time is not None)[1]
