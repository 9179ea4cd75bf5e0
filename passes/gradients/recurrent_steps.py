"""One direction of a recurrent layer, and the operators on its steps."""

import dataclasses
from collections.abc import Sequence

import onnx_ir as ir

from sparcl_compile.passes.gradients.gradient import Gradient


@dataclasses.dataclass(frozen=True)
class Direction:
    """One direction of a layer with G gates of H units, over T steps of N rows.

    Attributes:
        order: the steps in the order in which they are computed.
        activations: of its gates.
        x: [T * N, I].
        w: [G * H, I].
        r: [G * H, H].
        biases: those of w and of r, [G * H] each; None where the layer has none.
        h: the states behind the steps, [T, N, H].
        before: the states in front of the steps, [T, N, H].
        first_cell: [1, N, H], None for zeros.
        dy: by step the gradient of its state, [1, N, H]; None where there is none.
        dc: the gradient of the last cell, [1, N, H]; None where there is none.
    """

    order: Sequence[int]
    activations: tuple[str, ...]
    x: ir.Value
    w: ir.Value
    r: ir.Value
    biases: tuple[ir.Value, ir.Value] | None
    h: ir.Value
    before: ir.Value
    first_cell: ir.Value | None
    dy: Sequence[ir.Value | None]
    dc: ir.Value | None


@dataclasses.dataclass(frozen=True)
class Found:
    """The gradients of a direction.

    Attributes:
        by_x: of the gates' sums as x and w see them, [T, N, G * H].
        by_h: of the gates' sums as r and the state in front see them, [T, N, G * H].
        first: of the first state, [1, N, H].
        first_cell: of the first cell, [1, N, H]; None for a layer that has no cells.
        dr: of r, where it is another than the product of ``by_h`` and the states in front.
    """

    by_x: ir.Value
    by_h: ir.Value
    first: ir.Value
    first_cell: ir.Value | None = None
    dr: ir.Value | None = None


def width_of(g: Gradient) -> int:
    """G * H."""
    return g.static(g.input(1))[1]


def hidden_of(g: Gradient) -> int:
    """H."""
    return g.static(g.input(2))[2]


def parts(g: Gradient, value: ir.Value, lengths: Sequence[int], axis: int) -> Sequence[ir.Value]:
    """The parts of a value along an axis."""
    if len(lengths) == 1:
        return [value]
    return g.outputs("Split", value, g.ints(lengths), count=len(lengths), axis=axis)


def steps_of(g: Gradient, value: ir.Value, count: int) -> Sequence[ir.Value]:
    """[T, N, ...] as T times [1, N, ...]."""
    return parts(g, value, [1] * count, 0)


def gates_of(g: Gradient, value: ir.Value, count: int) -> Sequence[ir.Value]:
    """[T, N, G * H] as G times [T, N, H]."""
    return parts(g, value, [hidden_of(g)] * count, 2)


def joined(g: Gradient, values: Sequence[ir.Value], axis: int) -> ir.Value:
    """The values one behind the other."""
    return values[0] if len(values) == 1 else g.op("Concat", *values, axis=axis)


def in_steps(g: Gradient, found: dict[int, ir.Value]) -> ir.Value:
    """The values of the steps, [1, N, ...] each, as [T, N, ...]."""
    return joined(g, [found[step] for step in sorted(found)], 0)


def total(g: Gradient, *values: ir.Value | None) -> ir.Value:
    """The sum of those that are there, one at least."""
    given = [value for value in values if value is not None]
    return given[0] if len(given) == 1 else g.op("Sum", *given)


def rows_of(g: Gradient, value: ir.Value, width: int) -> ir.Value:
    """[T, N, width] as [T * N, width]."""
    return g.reshaped(value, [-1, width])


def product(g: Gradient, steps: int, rows: ir.Value, matrix: ir.Value, bias: ir.Value | None, width: int) -> ir.Value:
    """Rows [T * N, ...] times the matrix [width, ...] transposed, and the bias: [T, N, width]."""
    inputs = (rows, matrix) if bias is None else (rows, matrix, bias)
    return g.reshaped(g.op("Gemm", *inputs, transB=1), [steps, -1, width])


def outer_product(g: Gradient, sums: ir.Value, states: ir.Value, width: int) -> ir.Value:
    """[T, N, width] and [T, N, H], multiplied over all steps and rows: [width, H]."""
    return g.op("Gemm", rows_of(g, sums, width), rows_of(g, states, hidden_of(g)), transA=1)


def in_front(g: Gradient, behind: ir.Value, first: ir.Value | None, order: Sequence[int]) -> ir.Value:
    """The states in front of the steps from those behind them, [T, N, H]; the first is zeros where it is None."""
    goes_back, count = order[0] > order[-1], len(order)
    if count == 1:
        return g.mul(behind, g.number(0.0)) if first is None else first
    kept = g.sliced(behind, [int(goes_back)], [count - 1 + int(goes_back)], [0], [1])
    if first is None:
        return g.padded(kept, [int(not goes_back), 0, 0], [int(goes_back), 0, 0])
    return g.op("Concat", *((kept, first) if goes_back else (first, kept)), axis=0)


def rest(g: Gradient, value: ir.Value) -> ir.Value:
    """1 - value."""
    return g.sub(g.number(1.0), value)


def sigmoid_slope(g: Gradient, y: ir.Value) -> ir.Value:
    """The slope of a Sigmoid with this result."""
    return g.mul(y, rest(g, y))


def tanh_slope(g: Gradient, y: ir.Value) -> ir.Value:
    """The slope of a Tanh with this result."""
    return rest(g, g.mul(y, y))
