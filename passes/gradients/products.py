"""Products of matrices."""

from collections.abc import Mapping

import onnx_ir as ir

from sparcl_compile.passes.core.edit import float_attribute, int_attribute
from sparcl_compile.passes.gradients.gradient import Gradient, Rule, each


def _flags(g: Gradient) -> tuple[bool, bool]:
    return bool(int_attribute(g.node, "transA", 0)), bool(int_attribute(g.node, "transB", 0))


def _product(g: Gradient, a: ir.Value, b: ir.Value, across_a: bool, across_b: bool) -> ir.Value:
    """Alpha * a @ b, with either transposed."""
    alpha = float_attribute(g.node, "alpha", 1.0)
    return g.op("Gemm", a, b, transA=int(across_a), transB=int(across_b), alpha=alpha)


def _gemm_left(g: Gradient) -> ir.Value:
    """Dy @ B', and B @ dy' where A is transposed."""
    across_a, across_b = _flags(g)
    b = g.input(1)
    return _product(g, b, g.dy, across_b, True) if across_a else _product(g, g.dy, b, False, not across_b)


def _gemm_right(g: Gradient) -> ir.Value:
    """A' @ dy, and dy' @ A where B is transposed."""
    across_a, across_b = _flags(g)
    return _product(g, g.dy, g.x, True, across_a) if across_b else _product(g, g.x, g.dy, not across_a, False)


def _gemm_addend(g: Gradient) -> ir.Value:
    return g.gathered_from(2, g.scaled(g.dy, float_attribute(g.node, "beta", 1.0)))


def _swapped(g: Gradient, value: ir.Value) -> ir.Value:
    """The last two axes exchanged."""
    rank = g.rank(value)
    return g.transposed(value, [*range(rank - 2), rank - 1, rank - 2])


def _left(g: Gradient) -> ir.Value:
    if 1 in (g.rank(g.x), g.rank(g.input(1))):
        raise g.refusal("multiplies by a vector")
    return g.gathered_from(0, g.op("MatMul", g.dy, _swapped(g, g.input(1))), like_batches(g, 0))


def _right(g: Gradient) -> ir.Value:
    """A' @ dy; the batches of a shared matrix are multiplied as one, not one by one and then added."""
    if 1 in (g.rank(g.x), g.rank(g.input(1))):
        raise g.refusal("multiplies by a vector")
    b = g.input(1)
    if g.rank(b) == 2 and g.rank(g.x) > 2:
        rows, columns = g.static(b)
        return g.op("Gemm", g.reshaped(g.x, [-1, rows]), g.reshaped(g.dy, [-1, columns]), transA=1)
    return g.gathered_from(1, g.op("MatMul", _swapped(g, g.x), g.dy), like_batches(g, 1))


def like_batches(g: Gradient, number: int) -> ir.Value:
    """A value with the output's leading axes and the last two of an input, for what was broadcast."""
    lengths = [*list(g.y.shape or ())[:-2], *list(g.input(number).shape or ())[-2:]]
    return ir.Value(name=f"{g.node.name}.{number}", shape=ir.Shape(lengths))


RULES: Mapping[str, Rule] = {
    "Gemm": each(_gemm_left, _gemm_right, _gemm_addend),
    "MatMul": each(_left, _right),
}
