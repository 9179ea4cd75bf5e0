"""Reductions, and the normalisations of a row: Softmax and LogSoftmax."""

import math
from collections.abc import Callable, Mapping

import onnx_ir as ir

from sparcl_compile.passes.core.edit import int_attribute, reduction_axes
from sparcl_compile.passes.gradients.gradient import Gradient, Rule, each


def _axes(g: Gradient) -> list[int]:
    found = reduction_axes(g.node)
    if found is None:
        raise g.refusal("has axes that are no constant")
    return found


def _kept(g: Gradient, value: ir.Value) -> ir.Value:
    """The output, or its gradient, with the reduced axes as axes of length 1."""
    if int_attribute(g.node, "keepdims", 1) or not _axes(g):
        return value
    return g.op("Unsqueeze", value, g.ints(_axes(g)))


def _spread(g: Gradient, value: ir.Value) -> ir.Value:
    """A kept value repeated to the shape of the input."""
    batch_is_reduced = any(g.lengths(g.x)[axis] is None for axis in _axes(g))
    if batch_is_reduced:
        return g.op("Expand", value, g.shape_of(g.x))
    return g.op("Expand", value, g.ints([1 if length is None else length for length in g.lengths(g.x)]))


def _sum(g: Gradient) -> ir.Value:
    return _spread(g, _kept(g, g.dy))


def _mean(g: Gradient) -> ir.Value:
    lengths = [g.lengths(g.x)[axis] for axis in _axes(g)]
    known = [length for length in lengths if length is not None]
    if len(known) == len(lengths):
        return _spread(g, g.scaled(_kept(g, g.dy), 1.0 / math.prod(known)))
    ratio = g.div(g.op("Cast", g.op("Size", g.y), to=1), g.op("Cast", g.op("Size", g.x), to=1))
    return _spread(g, g.mul(_kept(g, g.dy), ratio))


def _weighted(weight: Callable[[Gradient], ir.Value]) -> Rule:
    """Dy times a function of the input's shape."""
    return each(lambda g: g.mul(_kept(g, g.dy), weight(g)))


def _l2(g: Gradient) -> ir.Value:
    """The direction of x, 0 where |x| is 0."""
    norm = _kept(g, g.y)
    is_zero = g.op("Equal", norm, g.number(0.0))
    return g.div(g.x, g.where(is_zero, g.number(1.0), norm))


def _ties(g: Gradient) -> ir.Value:
    """1 over the number of largest elements for each of them, 0 for the others, as PyTorch has it."""
    hits = g.as_float(g.op("Equal", g.x, _kept(g, g.y)))
    return g.div(hits, g.summed(hits, _axes(g), keepdims=True))


def _softmax(g: Gradient) -> ir.Value:
    """Y * (dy - sum(dy * y))."""
    axis = int_attribute(g.node, "axis", -1) % g.rank(g.x)
    weighted = g.mul(g.dy, g.y)
    return g.sub(weighted, g.mul(g.y, g.summed(weighted, [axis], keepdims=True)))


def _log_softmax(g: Gradient) -> ir.Value:
    """Dy - exp(y) * sum(dy)."""
    axis = int_attribute(g.node, "axis", -1) % g.rank(g.x)
    return g.sub(g.dy, g.mul(g.op("Exp", g.y), g.summed(g.dy, [axis], keepdims=True)))


RULES: Mapping[str, Rule] = {
    "LogSoftmax": each(_log_softmax),
    "ReduceL1": _weighted(lambda g: g.op("Sign", g.x)),
    "ReduceL2": _weighted(_l2),
    "ReduceLogSum": _weighted(lambda g: _spread(g, g.op("Exp", g.neg(_kept(g, g.y))))),
    "ReduceLogSumExp": _weighted(lambda g: g.op("Exp", g.sub(g.x, _kept(g, g.y)))),
    "ReduceMax": _weighted(_ties),
    "ReduceMean": each(_mean),
    "ReduceMin": _weighted(_ties),
    "ReduceSum": each(_sum),
    "ReduceSumSquare": _weighted(lambda g: g.scaled(g.x, 2.0)),
    "Softmax": each(_softmax),
}
