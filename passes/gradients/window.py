"""The geometry of a convolution, and where its taps meet the input."""

import dataclasses
import itertools
from collections.abc import Sequence

import onnx_ir as ir

from sparcl_compile.passes.core.edit import int_attribute, ints_attribute, string_attribute
from sparcl_compile.passes.gradients.gradient import Gradient

Tap = tuple[int, ...]
"""The place of one element of a kernel, by axis."""


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
    def taps(self) -> list[Tap]:
        """Every tap, in the order of the weight's elements."""
        return list(itertools.product(*map(range, self.kernel)))

    @property
    def without_last(self) -> "Window":
        """The same for rows as they are: a tap meets whole ones, and none is moved along the last axis."""
        return Window(
            kernel=(*self.kernel[:-1], 1),
            strides=(*self.strides[:-1], 1),
            dilations=(*self.dilations[:-1], 1),
            before=(*self.before[:-1], 0),
            after=(*self.after[:-1], 0),
            groups=self.groups,
            inputs=self.inputs,
            outputs=(*self.outputs[:-1], self.inputs[-1]),
        )

    def phase(self, axis: int, place: int) -> int:
        """The first row of the input that belongs to the rows which a tap meets, counted in strides."""
        return self._offset(axis, place) % self.strides[axis]

    def move(self, axis: int, place: int) -> int:
        """By how many rows of its phase a tap lies behind the output's row; negative for before."""
        return self._offset(axis, place) // self.strides[axis]

    def rows(self, axis: int, phase: int) -> int:
        """The number of the input's rows that have a phase."""
        return -(-(self.inputs[axis] - phase) // self.strides[axis])

    def meets(self, tap: Tap) -> bool:
        """Whether a tap meets the input anywhere, and not its padding alone."""
        return all(self._meets(axis, place) for axis, place in enumerate(tap))

    def _meets(self, axis: int, place: int) -> bool:
        move, rows = self.move(axis, place), self.rows(axis, self.phase(axis, place))
        return max(0, -move) < min(self.outputs[axis], rows - move)

    def _offset(self, axis: int, place: int) -> int:
        return place * self.dilations[axis] - self.before[axis]


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


def of_last(window: Window, tap: Sequence[int]) -> tuple[int, ...]:
    """The phase of a tap in every axis and its move in the last one: what the input's part for it depends on."""
    last = window.axes - 1
    return (*(window.phase(axis, place) for axis, place in enumerate(tap)), window.move(last, tap[last]))


def of_others(window: Window, tap: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """The move of a tap in every axis but the last, and the rows there: what the output's part for it depends on."""
    return tuple(
        (window.move(axis, place), window.rows(axis, window.phase(axis, place))) for axis, place in enumerate(tap[:-1])
    )
