"""The cells of recurrent layers: the gates of all steps computed again at once, and their gradients step by step."""

from collections.abc import Sequence

import onnx_ir as ir

from sparcl_compile.passes.core.edit import int_attribute
from sparcl_compile.passes.gradients.gradient import Gradient
from sparcl_compile.passes.gradients.recurrent_steps import (
    Direction,
    Found,
    gates_of,
    hidden_of,
    in_front,
    in_steps,
    outer_product,
    parts,
    product,
    rest,
    rows_of,
    sigmoid_slope,
    steps_of,
    tanh_slope,
    total,
    width_of,
)


def plain(g: Gradient, d: Direction) -> Found:
    """H = f(a), a = x w' + h' r' + b."""
    is_tanh = d.activations == ("Tanh",)
    slope = tanh_slope(g, d.h) if is_tanh else g.as_float(g.op("Greater", d.h, g.number(0.0)))
    slopes = steps_of(g, slope, len(d.order))
    found: dict[int, ir.Value] = {}
    carried: ir.Value | None = None
    for step in reversed(d.order):
        found[step] = g.mul(total(g, d.dy[step], carried), slopes[step])
        carried = g.op("MatMul", found[step], d.r)
    sums = in_steps(g, found)
    return Found(sums, sums, total(g, carried))


def lstm(g: Gradient, d: Direction) -> Found:
    """i, o, f = sigmoid(a), k = tanh(a), c = f c' + i k, h = o tanh(c) (Gers, Schmidhuber and Cummins, 2000)."""
    count = len(d.order)
    gates = gates_of(g, _sums(g, d), 4)
    i, o, f = (g.op("Sigmoid", gate) for gate in gates[:3])
    k = g.op("Tanh", gates[3])
    kept = steps_of(g, f, count)
    cells = _cells(g, d, steps_of(g, g.mul(i, k), count), kept)
    bent = g.op("Tanh", cells)
    to_cell = steps_of(g, g.mul(o, tanh_slope(g, bent)), count)
    slopes = [
        g.mul(k, sigmoid_slope(g, i)),
        g.mul(bent, sigmoid_slope(g, o)),
        g.mul(in_front(g, cells, d.first_cell, d.order), sigmoid_slope(g, f)),
        g.mul(i, tanh_slope(g, k)),
    ]
    to_gates = steps_of(g, g.op("Concat", *slopes, axis=2), count)
    found: dict[int, ir.Value] = {}
    carried, carried_cell = _nothing(g, d, to_cell), d.dc
    for step in reversed(d.order):
        dh = total(g, d.dy[step], carried)
        dc = total(g, g.mul(dh, to_cell[step]), carried_cell)
        found[step] = g.mul(g.op("Concat", dc, dh, dc, dc, axis=2), to_gates[step])
        carried, carried_cell = g.op("MatMul", found[step], d.r), g.mul(dc, kept[step])
    sums = in_steps(g, found)
    return Found(sums, sums, total(g, carried), carried_cell)


def _sums(g: Gradient, d: Direction) -> ir.Value:
    """X w' + h' r' + b of all gates and steps, [T, N, G * H]."""
    count, width = len(d.order), width_of(g)
    bias = None if d.biases is None else g.add(*d.biases)
    by_x = product(g, count, d.x, d.w, bias, width)
    return g.add(by_x, product(g, count, rows_of(g, d.before, hidden_of(g)), d.r, None, width))


def _cells(g: Gradient, d: Direction, added: Sequence[ir.Value], kept: Sequence[ir.Value]) -> ir.Value:
    """The cells behind the steps, [T, N, H]."""
    found: dict[int, ir.Value] = {}
    cell = d.first_cell
    for step in d.order:
        cell = added[step] if cell is None else g.add(g.mul(cell, kept[step]), added[step])
        found[step] = cell
    return in_steps(g, found)


def _nothing(g: Gradient, d: Direction, like: Sequence[ir.Value]) -> ir.Value | None:
    """Zeros for the last state where the loss depends on the last cell alone."""
    return g.mul(like[0], g.number(0.0)) if d.dy[d.order[-1]] is None else None


def gru(g: Gradient, d: Direction) -> Found:
    """z, r = sigmoid(a), n = tanh(a), h = (1 - z) n + z h' (Cho et al., 2014)."""
    is_linear_first = int_attribute(g.node, "linear_before_reset", 0) == 1
    return _linear_first(g, d) if is_linear_first else _reset_first(g, d)


def _linear_first(g: Gradient, d: Direction) -> Found:
    """The state is multiplied by a matrix and then reset: n = tanh(x w' + b + r (h' r' + b')), as PyTorch has it."""
    count, width = len(d.order), width_of(g)
    ours, theirs = d.biases or (None, None)
    by_x = gates_of(g, product(g, count, d.x, d.w, ours, width), 3)
    by_h = gates_of(g, product(g, count, rows_of(g, d.before, hidden_of(g)), d.r, theirs, width), 3)
    z, r = (g.op("Sigmoid", g.add(by_x[gate], by_h[gate])) for gate in (0, 1))
    n = g.op("Tanh", g.add(by_x[2], g.mul(r, by_h[2])))
    to_z = g.mul(g.sub(d.before, n), sigmoid_slope(g, z))
    to_n = g.mul(rest(g, z), tanh_slope(g, n))
    to_r = g.mul(g.mul(to_n, by_h[2]), sigmoid_slope(g, r))
    slopes, kept = (steps_of(g, one, count) for one in (g.op("Concat", to_z, to_r, g.mul(to_n, r), axis=2), z))
    states: dict[int, ir.Value] = {}
    found: dict[int, ir.Value] = {}
    carried: ir.Value | None = None
    for step in reversed(d.order):
        states[step] = dh = total(g, d.dy[step], carried)
        found[step] = g.mul(g.op("Concat", dh, dh, dh, axis=2), slopes[step])
        carried = g.add(g.mul(dh, kept[step]), g.op("MatMul", found[step], d.r))
    every = in_steps(g, states)
    seen_by_x = g.op("Concat", *(g.mul(every, one) for one in (to_z, to_r, to_n)), axis=2)
    return Found(seen_by_x, in_steps(g, found), total(g, carried))


def _reset_first(g: Gradient, d: Direction) -> Found:
    """The state is reset and then multiplied by a matrix: n = tanh(x w' + (r h') r' + b)."""
    count, hidden = len(d.order), hidden_of(g)
    bias = None if d.biases is None else g.add(*d.biases)
    of_gates, of_n = parts(g, d.r, [2 * hidden, hidden], 0)
    by_x = gates_of(g, product(g, count, d.x, d.w, bias, 3 * hidden), 3)
    by_h = gates_of(g, product(g, count, rows_of(g, d.before, hidden), of_gates, None, 2 * hidden), 2)
    z, r = (g.op("Sigmoid", g.add(by_x[gate], by_h[gate])) for gate in (0, 1))
    reset = g.mul(r, d.before)
    n = g.op("Tanh", g.add(by_x[2], product(g, count, rows_of(g, reset, hidden), of_n, None, hidden)))
    to_z = g.mul(g.sub(d.before, n), sigmoid_slope(g, z))
    to_n = g.mul(rest(g, z), tanh_slope(g, n))
    to_r = g.mul(d.before, sigmoid_slope(g, r))
    by_step = [steps_of(g, one, count) for one in (to_z, to_n, to_r, z, r)]
    gates: dict[int, ir.Value] = {}
    news: dict[int, ir.Value] = {}
    carried: ir.Value | None = None
    for step in reversed(d.order):
        z_slope, n_slope, r_slope, kept, reset_by = (one[step] for one in by_step)
        dh = total(g, d.dy[step], carried)
        news[step] = g.mul(dh, n_slope)
        ds = g.op("MatMul", news[step], of_n)
        gates[step] = g.op("Concat", g.mul(dh, z_slope), g.mul(ds, r_slope), axis=2)
        carried = total(g, g.mul(dh, kept), g.mul(ds, reset_by), g.op("MatMul", gates[step], of_gates))
    of_sums, of_news = in_steps(g, gates), in_steps(g, news)
    sums = g.op("Concat", of_sums, of_news, axis=2)
    dr = (outer_product(g, of_sums, d.before, 2 * hidden), outer_product(g, of_news, reset, hidden))
    return Found(sums, sums, total(g, carried), dr=g.op("Concat", *dr, axis=0))
