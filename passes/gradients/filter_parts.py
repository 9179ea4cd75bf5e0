"""The parts of a convolution's input and output gradient that meet at a tap of its kernel."""

import dataclasses
import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.gradients.filter_costs import Layer
from sparcl_compile.passes.gradients.gradient import Gradient
from sparcl_compile.passes.gradients.window import Tap, Window, of_last, of_others

FAR = 2**62
"""The end of a slice that goes to the end."""
SHORT = 16
"""Elements of a row that take longer to be copied one row after the other than all at once and times a mask."""


@dataclasses.dataclass
class Parts:
    """Operands of the products; each is written once.

    A part has its elements in the order of the layout and any shape: what is moved along one axis is moved in a shape
    in which the others lie together. ONNX Runtime copies what it pads row by row, since 1.32 without joining axes.

    Attributes:
        g: the gradient.
        layer: the convolution.
        x: [N, groups * I, input ...], [groups * I, N, input ...] or, with ``samples_last``, [groups * I, input ..., N].
        dy: [N, groups * O, output ...], likewise.
        samples_last: whether the samples are the last axis.
    """

    g: Gradient
    layer: Layer
    x: ir.Value
    dy: ir.Value
    samples_last: bool = False
    written: dict[Hashable, ir.Value] = dataclasses.field(default_factory=dict)

    @property
    def window(self) -> Window:
        """The geometry."""
        return self.layer.window

    @property
    def lead(self) -> list[int]:
        """The axes in front of the channels of a group."""
        return [-1] if self.window.groups == 1 else [-1, self.window.groups]

    def positions(self, tap: Tap) -> int:
        """The number of positions of a tap's product."""
        return math.prod(rows for _, rows in of_others(self.window, tap)) * self.window.outputs[-1]

    def turned(self) -> "Parts":
        """The same with the channels in front of the samples."""
        return self._in_order([1, 0, *range(2, 2 + self.window.axes)], samples_last=False)

    def with_samples_last(self) -> "Parts":
        """The same with the samples behind the positions, so that rows move as whole vectors of samples."""
        return self._in_order([*range(1, 2 + self.window.axes), 0], samples_last=True)

    def _in_order(self, order: Sequence[int], samples_last: bool) -> "Parts":
        x, dy = (self.g.transposed(value, order) for value in (self.x, self.dy))
        return Parts(self.g, self.layer, x, dy, samples_last)

    def once(self, key: Hashable, write: Callable[[], ir.Value]) -> ir.Value:
        """Return the value under a key; the first call writes it."""
        if key not in self.written:
            self.written[key] = write()
        return self.written[key]

    def upstream(self, tap: Tap) -> ir.Value:
        """DY for a tap: moved along all axes but the last."""
        moves, outputs = of_others(self.window, tap), self.window.outputs
        before = [move for move, _ in moves]
        after = [rows - length - move for (move, rows), length in zip(moves, outputs, strict=False)]
        return self.once(
            ("dy", moves), lambda: self._moved(self.dy, self.layer.filters, outputs, [*before, 0], [*after, 0])
        )

    def met(self, tap: Tap) -> ir.Value:
        """X for a tap: the rows of its phase, moved along the last axis."""
        *phases, move = of_last(self.window, tap)
        rows = self._rows(tap)
        after = self.window.outputs[-1] - rows[-1] + move
        phase, quiet = self.phase(tap), [0] * (self.window.axes - 1)
        channels = self.window.groups * self.layer.inner
        return self.once(
            ("x", *phases, move), lambda: self._moved(phase, channels, rows, [*quiet, -move], [*quiet, after])
        )

    def channels(self, part: ir.Value, tap: Tap) -> ir.Value:
        """A part as [N, filters, positions], where each channel has one filter."""
        return self._shaped(part, [-1, self.layer.filters, self.positions(tap)])

    def cut_out(self, tap: Tap) -> ir.Value:
        """X for a tap: the rows of its phase, moved along every axis, in the shape of dY's positions."""
        window, rows = self.window, self._rows(tap)
        moves = [window.move(axis, place) for axis, place in enumerate(tap)]
        after = [length - row + move for length, row, move in zip(window.outputs, rows, moves, strict=True)]
        before = [-move for move in moves]
        return self._moved(self.phase(tap), window.groups * self.layer.inner, rows, before, after)

    def phase(self, tap: Tap) -> ir.Value:
        """The rows of X of a tap's phase."""
        axes, strides = self.window.axes, self.window.strides
        if set(strides) == {1}:
            return self.x
        phases = [self.window.phase(axis, place) for axis, place in enumerate(tap)]
        first = 1 if self.samples_last else 2
        ends, spatial = [FAR] * axes, list(range(first, first + axes))
        return self.once(("phase", *phases), lambda: self.g.sliced(self.x, phases, ends, spatial, strides))

    def _rows(self, tap: Tap) -> list[int]:
        return [self.window.rows(axis, self.window.phase(axis, place)) for axis, place in enumerate(tap)]

    def _moved(
        self, part: ir.Value, channels: int, lengths: Sequence[int], before: Sequence[int], after: Sequence[int]
    ) -> ir.Value:
        """A part whose spatial axes have these lengths, with so many zeros before and after each."""
        moving = [axis for axis, move in enumerate(zip(before, after, strict=True)) if any(move)]
        if len(moving) != 1:
            edge = [0] if self.samples_last else [0, 0]
            behind = [0] if self.samples_last else []
            return self.g.padded(part, [*edge, *before, *behind], [*edge, *after, *behind])
        axis = moving[0]
        return self._moved_along(part, channels, lengths, axis, (before[axis], after[axis]))

    def _moved_along(
        self, part: ir.Value, channels: int, lengths: Sequence[int], axis: int, zeros: tuple[int, int]
    ) -> ir.Value:
        g, (before, after) = self.g, zeros
        if self.samples_last:
            planes = self._shaped(part, [channels * math.prod(lengths[:axis]), lengths[axis], -1])
            return g.padded(planes, [0, before, 0], [0, after, 0])
        within = math.prod(lengths[axis + 1 :])
        if within == 1 and before == -after and len(lengths) > 1 and lengths[-1] <= SHORT:
            flat = self._shaped(part, [-1, channels, math.prod(lengths)])
            return g.mul(g.padded(flat, [0, 0, before], [0, 0, after]), self._inside(lengths, before))
        rows = self._shaped(part, [-1, lengths[axis] * within])
        return g.padded(rows, [0, before * within], [0, after * within])

    def _shaped(self, part: ir.Value, lengths: Sequence[int]) -> ir.Value:
        return self.once(("shaped", part, *lengths), lambda: self.g.reshaped(part, lengths))

    def _inside(self, lengths: Sequence[int], before: int) -> ir.Value:
        """1 at the positions whose element comes from their own row when all are moved together, 0 elsewhere."""
        row = np.arange(lengths[-1]) - before
        inside = np.tile((row >= 0) & (row < lengths[-1]), math.prod(lengths[:-1])).astype(np.float32)
        return self.g.shared(f"inside_{before}_of_" + "_".join(map(str, lengths)), inside)
