"""Recurrent layers: backpropagation through time, a few operators a step.

The layer itself stays one operator. From its inputs and the states that it returns the gates of all steps are computed
again at once. Only what depends on the step behind it is written step by step: the number of steps must be known.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx_ir as ir

from sparcl_compile.passes.core.edit import int_attribute, string_attribute
from sparcl_compile.passes.core.values import FLOAT
from sparcl_compile.passes.gradients import recurrent_cells as cells
from sparcl_compile.passes.gradients.gradient import Gradient, Rule
from sparcl_compile.passes.gradients.recurrent_steps import (
    Direction,
    Found,
    hidden_of,
    in_front,
    joined,
    outer_product,
    parts,
    rows_of,
    steps_of,
    total,
    width_of,
)

LENGTHS, FIRST_HIDDEN, FIRST_CELL, PEEPHOLES = 4, 5, 6, 7
"""Numbers of the inputs behind X, W, R and B."""
ACTIVATIONS = {
    "RNN": (("Tanh",), ("Relu",)),
    "GRU": (("Sigmoid", "Tanh"),),
    "LSTM": (("Sigmoid", "Tanh", "Tanh"),),
}
"""By operator the activations of a direction that have a gradient here; the first are the standard's."""
STATES = ".states"

Cell = Callable[[Gradient, Direction], Found]


def layer(cell: Cell) -> Rule:
    """The rule of a layer of one or two directions."""

    def rule(g: Gradient) -> Sequence[ir.Value | None]:
        _check(g)
        directions = _directions(g)
        found = [(d, cell(g, d)) for d in directions]
        return [_of_input(g, number, found) if g.wants(number) else None for number in range(len(g.node.inputs))]

    return rule


def _check(g: Gradient) -> None:
    if int_attribute(g.node, "layout", 0):
        raise g.refusal("has the batch as its first axis")
    if g.given(LENGTHS) is not None:
        raise g.refusal("has sequences of different lengths")
    if g.given(PEEPHOLES) is not None or int_attribute(g.node, "input_forget", 0) or "clip" in g.node.attributes:
        raise g.refusal("has peepholes, a coupled gate or a clip")
    if any(one not in ACTIVATIONS[g.node.op_type] for one in _activations(g)):
        raise g.refusal("has other activations than the standard's")


def _count_of_steps(g: Gradient) -> int:
    steps = g.lengths(g.x)[0]
    if steps is None:
        raise g.refusal("needs to know its number of steps")
    return steps


def _activations(g: Gradient) -> list[tuple[str, ...]]:
    """By direction the activations of its gates."""
    count, standard = g.static(g.input(1))[0], ACTIVATIONS[g.node.op_type][0]
    given = g.node.attributes.get("activations")
    every = standard * count if given is None else tuple(given.as_strings())
    return [every[number * len(standard) : (number + 1) * len(standard)] for number in range(count)]


def _directions(g: Gradient) -> list[Direction]:
    count, steps, hidden, width = g.static(g.input(1))[0], _count_of_steps(g), hidden_of(g), width_of(g)
    x = rows_of(g, g.x, g.static(g.x, 2)[0])
    weights, matrices = ([g.reshaped(one, [width, -1]) for one in _by_direction(g, g.input(n))] for n in (1, 2))
    states = [g.reshaped(one, [steps, -1, hidden]) for one in parts(g, _states(g), [1] * count, 1)]
    firsts, first_cells = (_by_direction(g, g.given(number)) for number in (FIRST_HIDDEN, FIRST_CELL))
    dys, dcs, biases = _of_states(g, steps), _by_direction(g, g.of_output(2)), _biases(g)
    found = []
    for number, activations in enumerate(_activations(g)):
        order = _order(g, number, steps)
        before = in_front(g, states[number], firsts[number], order)
        dy = [dys[number][step] for step in range(steps)]
        dy[order[-1]] = _with_last(g, dy[order[-1]], number)
        found.append(
            Direction(
                order,
                activations,
                x,
                weights[number],
                matrices[number],
                biases[number],
                states[number],
                before,
                first_cells[number],
                dy,
                dcs[number],
            )
        )
    return found


def _order(g: Gradient, number: int, steps: int) -> list[int]:
    goes_back = number == 1 or string_attribute(g.node, "direction", "forward") == "reverse"
    return list(range(steps))[:: -1 if goes_back else 1]


def _by_direction(g: Gradient, value: ir.Value | None) -> Sequence[Any]:
    """[D, ...] as D times [1, ...]; None for each where there is no value."""
    count = g.static(g.input(1))[0]
    return [None] * count if value is None else parts(g, value, [1] * count, 0)


def _states(g: Gradient) -> ir.Value:
    """The first output, the states of all steps, which the layer gets where it leaves it out."""
    states = g.node.outputs[0]
    if not states.name:
        steps, rows = list(g.x.shape or ())[:2]
        states.name = f"{g.node.name}{STATES}"
        states.shape = ir.Shape([steps, g.static(g.input(1))[0], rows, hidden_of(g)])
        states.type = FLOAT
    return states


def _of_states(g: Gradient, steps: int) -> Sequence[Sequence[ir.Value | None]]:
    """By direction and step the gradient of the state."""
    count, dy = g.static(g.input(1))[0], g.of_output(0)
    if dy is None:
        return [[None] * steps] * count
    apart = (g.reshaped(one, [steps, -1, hidden_of(g)]) for one in parts(g, dy, [1] * count, 1))
    return [steps_of(g, one, steps) for one in apart]


def _with_last(g: Gradient, dy: ir.Value | None, number: int) -> ir.Value | None:
    """The gradient of a direction's last state, as one of all states and by itself."""
    last = _by_direction(g, g.of_output(1))[number]
    return dy if last is None else total(g, dy, last)


def _biases(g: Gradient) -> list[tuple[ir.Value, ir.Value] | None]:
    """By direction its two biases."""
    found: list[tuple[ir.Value, ir.Value] | None] = []
    for one in _by_direction(g, g.given(3)):
        both = None if one is None else parts(g, g.reshaped(one, [-1]), [width_of(g)] * 2, 0)
        found.append(None if both is None else (both[0], both[1]))
    return found


def _of_input(g: Gradient, number: int, found: Sequence[tuple[Direction, Found]]) -> ir.Value | None:
    """The gradient of one input: of x the sum over the directions, of the others one behind the other."""
    if number == 0:
        return g.in_shape_of(g.x, total(g, *(g.op("Gemm", rows_of(g, f.by_x, width_of(g)), d.w) for d, f in found)))
    part = PARTS.get(number)
    return None if part is None else joined(g, [part(g, d, f) for d, f in found], 0)


def _of_weight(g: Gradient, d: Direction, found: Found) -> ir.Value:
    return g.op("Unsqueeze", g.op("Gemm", rows_of(g, found.by_x, width_of(g)), d.x, transA=1), g.ints([0]))


def _of_matrix(g: Gradient, d: Direction, found: Found) -> ir.Value:
    product = found.dr or outer_product(g, found.by_h, d.before, width_of(g))
    return g.op("Unsqueeze", product, g.ints([0]))


def _of_biases(g: Gradient, d: Direction, found: Found) -> ir.Value:
    ours = g.summed(found.by_x, [0, 1])
    theirs = ours if found.by_h is found.by_x else g.summed(found.by_h, [0, 1])
    return g.op("Unsqueeze", g.op("Concat", ours, theirs, axis=0), g.ints([0]))


def _of_first(g: Gradient, d: Direction, found: Found) -> ir.Value:
    return found.first


def _of_first_cell(g: Gradient, d: Direction, found: Found) -> ir.Value:
    return total(g, found.first_cell)


PARTS: Mapping[int, Callable[[Gradient, Direction, Found], ir.Value]] = {
    1: _of_weight,
    2: _of_matrix,
    3: _of_biases,
    FIRST_HIDDEN: _of_first,
    FIRST_CELL: _of_first_cell,
}
"""By input the gradient of a direction's part of it."""
RULES: Mapping[str, Rule] = {"GRU": layer(cells.gru), "LSTM": layer(cells.lstm), "RNN": layer(cells.plain)}
