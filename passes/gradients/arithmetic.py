"""Operators that work element by element on one or two tensors."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import float_attribute
from sparcl_compile.passes.gradients.gradient import Function, Gradient, Rule, broadcasting, each

STEEP = 3.4028234663852886e38
"""The largest float32: it lifts every normal number above 1, where HardSigmoid is cut off."""


def _passed(g: Gradient) -> ir.Value:
    return g.dy


def _negative(g: Gradient) -> ir.Value:
    return g.neg(g.dy)


def _times(other: int) -> Function:
    return lambda g: g.mul(g.dy, g.input(other))


def _dividend(g: Gradient) -> ir.Value:
    return g.div(g.dy, g.input(1))


def _divisor(g: Gradient) -> ir.Value:
    """-dy * y / b."""
    return g.neg(g.div(g.mul(g.dy, g.y), g.input(1)))


def _base(g: Gradient) -> ir.Value:
    """Dy * e * x ** (e - 1); 2 * x * dy without a power where e is 2."""
    exponent = g.input(1)
    if exponent.const_value is not None and not exponent.is_graph_input() and np.all(g.array(1) == 2.0):
        return g.mul(g.scaled(g.dy, 2.0), g.x)
    if exponent.dtype != g.x.dtype:
        exponent = g.as_float(exponent)  # a whole number
    lower = g.sub(exponent, g.number(1.0))
    return g.mul(g.dy, g.mul(exponent, g.op("Pow", g.x, lower)))


def _exponent(g: Gradient) -> ir.Value:
    """Dy * y * log(x), 0 where x is 0."""
    safe = g.where(g.op("Greater", g.x, g.number(0.0)), g.x, g.number(1.0))
    return g.mul(g.dy, g.mul(g.y, g.op("Log", safe)))


def _relu(g: Gradient) -> ir.Value:
    """Dy * step(y), with the step as a HardSigmoid: both are vectorised and use all threads, Where does neither.

    Equal to the bit for finite dy and every y that is 0 or a normal number.
    """
    return g.mul(g.dy, g.op("HardSigmoid", g.y, like=g.y, alpha=STEEP, beta=0.0))


def _leaky_relu(g: Gradient) -> ir.Value:
    slope = float_attribute(g.node, "alpha", 0.01)
    return g.where(g.op("Greater", g.x, g.number(0.0)), g.dy, g.scaled(g.dy, slope))


def _sigmoid(g: Gradient) -> ir.Value:
    """Dy * y * (1 - y)."""
    return g.mul(g.dy, g.mul(g.y, g.sub(g.number(1.0), g.y)))


def _tanh(g: Gradient) -> ir.Value:
    """Dy * (1 - y * y)."""
    return g.mul(g.dy, g.sub(g.number(1.0), g.mul(g.y, g.y)))


def _erf(g: Gradient) -> ir.Value:
    """Dy * 2 / sqrt(pi) * exp(-x * x)."""
    return g.mul(g.dy, g.scaled(g.op("Exp", g.neg(g.mul(g.x, g.x))), 2.0 / math.sqrt(math.pi)))


def _sqrt(g: Gradient) -> ir.Value:
    return g.div(g.scaled(g.dy, 0.5), g.y)


def _reciprocal(g: Gradient) -> ir.Value:
    return g.neg(g.mul(g.dy, g.mul(g.y, g.y)))


def _clip(g: Gradient) -> ir.Value:
    """Dy where x was not changed, the bounds included, as PyTorch has it."""
    return g.where(g.op("Equal", g.x, g.y), g.dy, g.number(0.0))


def _abs(g: Gradient) -> ir.Value:
    return g.mul(g.dy, g.op("Sign", g.x))


def _extreme(g: Gradient) -> Sequence[ir.Value | None]:
    """Max and Min: dy goes to the inputs that are equal to y, in equal parts."""
    inputs = [value for value in g.node.inputs if value is not None]
    hits = [g.as_float(g.op("Equal", value, g.y)) for value in inputs]
    total = hits[0]
    for hit in hits[1:]:
        total = g.add(total, hit)
    part = g.div(g.dy, total)
    return [g.gathered_from(n, g.mul(part, hit)) if g.wants(n) else None for n, hit in enumerate(hits)]


def _variadic(share: Callable[[Gradient], float]) -> Rule:
    """Sum and Mean: each input gets its share of dy."""

    def rule(g: Gradient) -> Sequence[ir.Value | None]:
        part = g.scaled(g.dy, share(g))
        return [g.gathered_from(number, part) if g.wants(number) else None for number in range(len(g.node.inputs))]

    return rule


def _chosen(g: Gradient) -> ir.Value:
    return g.where(g.input(0), g.dy, g.number(0.0))


def _other(g: Gradient) -> ir.Value:
    return g.where(g.input(0), g.number(0.0), g.dy)


def _choice(g: Gradient) -> Sequence[ir.Value | None]:
    """Where: the condition has no gradient."""
    branches = (None, _chosen, _other)
    return [g.gathered_from(n, one(g)) if one and g.wants(n) else None for n, one in enumerate(branches)]


def _elu(g: Gradient) -> ir.Value:
    """Dy where x > 0, else dy * (y + alpha)."""
    alpha = float_attribute(g.node, "alpha", 1.0)
    return g.mul(g.dy, g.where(g.op("Greater", g.x, g.number(0.0)), g.number(1.0), g.add(g.y, g.number(alpha))))


def _selu(g: Gradient) -> ir.Value:
    """Dy * gamma where x > 0, else dy * (y + alpha * gamma)."""
    alpha, gamma = (
        float_attribute(g.node, "alpha", 1.67326319217681884765625),
        float_attribute(g.node, "gamma", 1.05070102214813232421875),
    )
    low = g.add(g.y, g.number(alpha * gamma))
    return g.mul(g.dy, g.where(g.op("Greater", g.x, g.number(0.0)), g.number(gamma), low))


def _celu(g: Gradient) -> ir.Value:
    """Dy where x > 0, else dy * (y / alpha + 1)."""
    alpha = float_attribute(g.node, "alpha", 1.0)
    low = g.add(g.scaled(g.y, 1.0 / alpha), g.number(1.0))
    return g.mul(g.dy, g.where(g.op("Greater", g.x, g.number(0.0)), g.number(1.0), low))


def _softplus(g: Gradient) -> ir.Value:
    return g.mul(g.dy, g.op("Sigmoid", g.x))


def _softsign(g: Gradient) -> ir.Value:
    """Dy * (1 - |y|) ** 2."""
    rest = g.sub(g.number(1.0), g.op("Abs", g.y))
    return g.mul(g.dy, g.mul(rest, rest))


def _mish(g: Gradient) -> ir.Value:
    """Dy * (t + x * sigmoid(x) * (1 - t * t)), t = tanh(softplus(x))."""
    t = g.op("Tanh", g.op("Softplus", g.x))
    bend = g.mul(g.mul(g.x, g.op("Sigmoid", g.x)), g.sub(g.number(1.0), g.mul(t, t)))
    return g.mul(g.dy, g.add(t, bend))


def _hard_sigmoid(g: Gradient) -> ir.Value:
    """Alpha * dy where 0 < y < 1."""
    alpha = float_attribute(g.node, "alpha", 0.2)
    inside = g.op("And", g.op("Greater", g.y, g.number(0.0)), g.op("Less", g.y, g.number(1.0)))
    return g.where(inside, g.scaled(g.dy, alpha), g.number(0.0))


def _hard_swish(g: Gradient) -> ir.Value:
    """0 below -3, dy above 3, dy * (x / 3 + 1/2) between."""
    line = g.add(g.scaled(g.x, 1.0 / 3.0), g.number(0.5))
    slope = g.where(g.op("Greater", g.x, g.number(3.0)), g.number(1.0), line)
    return g.where(g.op("Greater", g.x, g.number(-3.0)), g.mul(g.dy, slope), g.number(0.0))


def _prelu_input(g: Gradient) -> ir.Value:
    return g.where(g.op("Greater", g.x, g.number(0.0)), g.dy, g.mul(g.dy, g.input(1)))


def _prelu_slope(g: Gradient) -> ir.Value:
    return g.mul(g.dy, g.op("Min", g.x, g.number(0.0)))


def _thresholded_relu(g: Gradient) -> ir.Value:
    alpha = float_attribute(g.node, "alpha", 1.0)
    return g.where(g.op("Greater", g.x, g.number(alpha)), g.dy, g.number(0.0))


def _cast(g: Gradient) -> ir.Value:
    return g.op("Cast", g.dy, to=int(g.x.dtype or ir.DataType.FLOAT))


RULES: Mapping[str, Rule] = {
    "Abs": each(_abs),
    "Add": broadcasting(_passed, _passed),
    "Cast": each(_cast),
    "Celu": each(_celu),
    "Clip": each(_clip),
    "Cos": each(lambda g: g.neg(g.mul(g.dy, g.op("Sin", g.x)))),
    "Div": broadcasting(_dividend, _divisor),
    "Elu": each(_elu),
    "Erf": each(_erf),
    "Exp": each(lambda g: g.mul(g.dy, g.y)),
    "HardSigmoid": each(_hard_sigmoid),
    "HardSwish": each(_hard_swish),
    "Identity": each(_passed),
    "LeakyRelu": each(_leaky_relu),
    "Log": each(lambda g: g.div(g.dy, g.x)),
    "Max": _extreme,
    "Mean": _variadic(lambda g: 1.0 / len(g.node.inputs)),
    "Min": _extreme,
    "Mish": each(_mish),
    "Mul": broadcasting(_times(1), _times(0)),
    "Neg": each(_negative),
    "PRelu": broadcasting(_prelu_input, _prelu_slope),
    "Pow": broadcasting(_base, _exponent),
    "Reciprocal": each(_reciprocal),
    "Relu": each(_relu),
    "Selu": each(_selu),
    "Sigmoid": each(_sigmoid),
    "Sin": each(lambda g: g.mul(g.dy, g.op("Cos", g.x))),
    "Softplus": each(_softplus),
    "Softsign": each(_softsign),
    "Sqrt": each(_sqrt),
    "Sub": broadcasting(_passed, _negative),
    "Sum": _variadic(lambda g: 1.0),
    "Tanh": each(_tanh),
    "ThresholdedRelu": each(_thresholded_relu),
    "Where": _choice,
}
