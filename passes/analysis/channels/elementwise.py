"""Rules of operators that work element by element, with numpy's broadcasting."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.analysis.channels.labels import QUIET, Axis
from sparcl_compile.passes.analysis.channels.walk import Axes, Rule, Trace
from sparcl_compile.passes.core.edit import array_of
from sparcl_compile.passes.core.roles import role_of

UNARY = """
    Abs Cast Ceil Celu Clip Cos Elu Erf Exp Floor Gelu HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Mish Neg Not
    Relu Round Selu Sigmoid Sign Sin Softplus Softsign Tanh ThresholdedRelu
""".split()  # noqa: SIM905 - thirty quoted names would be harder to read
BROADCASTING = """
    Add And Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mul Or PRelu Sub Sum Where Xor
""".split()  # noqa: SIM905 - as above
GUARDED = {"Div": 1, "Sqrt": 0, "Log": 0, "Reciprocal": 0, "Pow": 0}
"""Operators that are infinite, or have an infinite slope, at zero in this input: infinity times zero is no zero."""
MOVES = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Identity")
NOT_NEGATIVE = ("Abs", "Exp", "Relu", "Sigmoid", "Softmax", "Sqrt", "ReduceL2")
KEEPS_SIGN = (*MOVES, "ReduceMean", "ReduceSum", "Slice", "GlobalAveragePool")


def unary(t: Trace, node: ir.Node) -> list[Axes]:
    """One operand; further inputs (Clip's bounds) are scalars."""
    return [t.axes(node, 0)]


def broadcasting(t: Trace, node: ir.Node) -> list[Axes]:
    """Several operands: elements that meet go together."""
    slots = range(len(node.inputs))
    return [broadcast(t, [(t.axes(node, slot), t.shape(node.inputs[slot])) for slot in slots])]


def broadcast(t: Trace, operands: Sequence[tuple[Axes, tuple[int, ...]]]) -> Axes:
    """Tie operands (axes and lengths) that are aligned at their last axis; returns the axes of the result."""
    rank = max(len(shape) for _, shape in operands)
    out: Axes = []
    for axis in range(-rank, 0):
        present = [(axes[axis], shape[axis]) for axes, shape in operands if len(shape) >= -axis]
        length = max(n for _, n in present)
        out.append(meet(t, [one for one, n in present if n == length]) if length > 1 else QUIET)
    return out


def meet(t: Trace, axes: Sequence[Axis]) -> Axis:
    """Tie axes of the same length; labels win over an axis that stays whole, which has blocked them by then."""
    labels = [axis for axis in axes if isinstance(axis, np.ndarray)]
    first = labels[0] if labels else axes[0]
    for axis in axes:
        t.ties.tie(first, axis)
    return first


def guarded(t: Trace, node: ir.Node) -> list[Axes]:
    """Operators that need an input away from zero, where a removed unit may well be."""
    slot = GUARDED[node.op_type]
    if not harmless_power(node) and not positive(node.inputs[slot]):
        t.block(node, t.axes(node, slot), "undefined at zero")
    return broadcasting(t, node) if len(node.inputs) > 1 else unary(t, node)


def harmless_power(node: ir.Node) -> bool:
    """Whether a node is a Pow with constant exponents of at least 1."""
    exponent = array_of(node.inputs[1]) if node.op_type == "Pow" else None
    return exponent is not None and bool(np.all(exponent >= 1))


def positive(value: ir.Value | None) -> bool:
    """Whether a value is above zero by a constant, as far as the nodes before it tell."""
    data = stored(value)
    if data is not None:
        return bool(np.all(data > 0))
    node = None if value is None else value.producer()
    if node is None:
        return False
    if node.op_type in ("Sqrt", *KEEPS_SIGN):
        return positive(node.inputs[0])
    if node.op_type in ("Clip", "Max"):
        return any(stored(v) is not None and positive(v) for v in node.inputs[1:2])
    return node.op_type == "Add" and any(map(positive, node.inputs)) and all(map(not_negative, node.inputs))


def not_negative(value: ir.Value | None) -> bool:
    """Whether a value is zero or above, as far as the nodes before it tell."""
    data = stored(value)
    if data is not None:
        return bool(np.all(data >= 0))
    node = None if value is None else value.producer()
    if node is None:
        return False
    if node.op_type in NOT_NEGATIVE or positive(value):
        return True
    if node.op_type in KEEPS_SIGN:
        return not_negative(node.inputs[0])
    if node.op_type == "Pow":
        exponent = stored(node.inputs[1])
        return exponent is not None and bool(np.all(exponent % 2 == 0))
    return node.op_type == "Mul" and node.inputs[0] is node.inputs[1]


def stored(value: ir.Value | None) -> np.ndarray | None:
    """The contents of a constant; a parameter's may change, so they prove nothing."""
    return None if value is None or role_of(value) else array_of(value)


RULES: dict[str, Rule] = {
    **dict.fromkeys(UNARY, unary),
    **dict.fromkeys(BROADCASTING, broadcasting),
    **dict.fromkeys(GUARDED, guarded),
}
