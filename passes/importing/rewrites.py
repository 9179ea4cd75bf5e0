"""Operators without a (right) gradient, said in operators that have one: the table and the activations.

The activations are written so that nothing overflows: an overflow in a branch that is not chosen would still give a
gradient of NaN.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import Names, float_attribute, ints_attribute, string_attribute
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.importing import rewrite_einsum, rewrite_grids, rewrite_norms, rewrite_pools, rewrite_shapes
from sparcl_compile.passes.importing.naming import ORIGIN

Rewrite = Callable[[Inserter, ir.Node], ir.Value | None]
"""Builds the replacement of a node's first output before the node; None leaves the node alone."""


def negative_part(e: Inserter, x: ir.Value | None) -> ir.Value:
    """min(x, 0)."""
    return e.op("Neg", e.op("Relu", e.op("Neg", x)))


def exponential_unit(e: Inserter, x: ir.Value | None, alpha: float, inner: float, scale: float) -> ir.Value:
    """Scale * (max(x, 0) + alpha * (exp(min(x, 0) / inner) - 1))."""
    low = negative_part(e, x)
    scaled = low if inner == 1.0 else e.op("Div", low, e.const("inner", inner))
    tail = e.op("Mul", e.op("Sub", e.op("Exp", scaled), e.const("one", 1.0)), e.const("alpha", alpha))
    unit = e.op("Add", e.op("Relu", x), tail)
    return unit if scale == 1.0 else e.op("Mul", unit, e.const("scale", scale))


def elu(e: Inserter, node: ir.Node) -> ir.Value:
    """Elu."""
    return exponential_unit(e, node.inputs[0], float_attribute(node, "alpha", 1.0), 1.0, 1.0)


def celu(e: Inserter, node: ir.Node) -> ir.Value:
    """Celu."""
    alpha = float_attribute(node, "alpha", 1.0)
    return exponential_unit(e, node.inputs[0], alpha, alpha, 1.0)


def selu(e: Inserter, node: ir.Node) -> ir.Value:
    """Selu, with the constants of its definition."""
    alpha = float_attribute(node, "alpha", 1.6732632)
    return exponential_unit(e, node.inputs[0], alpha, 1.0, float_attribute(node, "gamma", 1.0507010))


def softplus_of(e: Inserter, x: ir.Value | None) -> ir.Value:
    """max(x, 0) + log(1 + exp(-|x|))."""
    decay = e.op("Exp", e.op("Neg", e.op("Abs", x)))
    return e.op("Add", e.op("Relu", x), e.op("Log", e.op("Add", decay, e.const("one", 1.0))))


def softplus(e: Inserter, node: ir.Node) -> ir.Value:
    """Softplus."""
    return softplus_of(e, node.inputs[0])


def mish(e: Inserter, node: ir.Node) -> ir.Value:
    """Mish: x * tanh(softplus(x))."""
    return e.op("Mul", node.inputs[0], e.op("Tanh", softplus_of(e, node.inputs[0])))


def softsign(e: Inserter, node: ir.Node) -> ir.Value:
    """Softsign: x / (1 + |x|)."""
    return e.op("Div", node.inputs[0], e.op("Add", e.op("Abs", node.inputs[0]), e.const("one", 1.0)))


def hard_sigmoid_of(e: Inserter, x: ir.Value | None, alpha: float, beta: float) -> ir.Value:
    """clip(alpha * x + beta, 0, 1)."""
    line = e.op("Add", e.op("Mul", x, e.const("alpha", alpha)), e.const("beta", beta))
    return e.op("Clip", line, e.const("low", 0.0), e.const("high", 1.0))


def hard_sigmoid(e: Inserter, node: ir.Node) -> ir.Value:
    """HardSigmoid."""
    return hard_sigmoid_of(e, node.inputs[0], float_attribute(node, "alpha", 0.2), float_attribute(node, "beta", 0.5))


def hard_swish(e: Inserter, node: ir.Node) -> ir.Value:
    """HardSwish: x * clip(x / 6 + 1/2, 0, 1)."""
    return e.op("Mul", node.inputs[0], hard_sigmoid_of(e, node.inputs[0], 1.0 / 6.0, 0.5))


def prelu(e: Inserter, node: ir.Node) -> ir.Value:
    """PRelu: max(x, 0) + slope * min(x, 0); the slope keeps its place as a parameter."""
    low = e.op("Mul", negative_part(e, node.inputs[0]), node.inputs[1])
    return e.op("Add", e.op("Relu", node.inputs[0]), low)


def thresholded_relu(e: Inserter, node: ir.Node) -> ir.Value:
    """ThresholdedRelu: x where x > alpha, else 0."""
    above = e.op("Greater", node.inputs[0], e.const("alpha", float_attribute(node, "alpha", 1.0)))
    return e.op("Mul", node.inputs[0], e.op("Cast", above, to=ir.DataType.FLOAT))


def gelu(e: Inserter, node: ir.Node) -> ir.Value:
    """Gelu, exact or by tanh."""
    x, one = node.inputs[0], e.const("one", 1.0)
    if string_attribute(node, "approximate", "none") == "tanh":
        cube = e.op("Mul", e.op("Pow", x, e.const("three", 3.0)), e.const("cubic", 0.044715))
        inner = e.op("Tanh", e.op("Mul", e.op("Add", x, cube), e.const("scale", np.sqrt(2.0 / np.pi))))
    else:
        inner = e.op("Erf", e.op("Mul", x, e.const("scale", np.sqrt(0.5))))
    return e.op("Mul", e.op("Mul", x, e.const("half", 0.5)), e.op("Add", inner, one))


def swish(e: Inserter, node: ir.Node) -> ir.Value:
    """Swish of opset 24: x * sigmoid(alpha * x)."""
    x, alpha = node.inputs[0], float_attribute(node, "alpha", 1.0)
    inner = x if alpha == 1.0 else e.op("Mul", x, e.const("alpha", alpha))
    return e.op("Mul", x, e.op("Sigmoid", inner))


def add_up(e: Inserter, node: ir.Node) -> ir.Value:
    """Sum as a chain of Add."""
    total = node.inputs[0]
    for value in node.inputs[1:]:
        total = e.op("Add", total, value)
    return e.op("Identity", total) if len(node.inputs) == 1 else total  # type: ignore[return-value]


def mean(e: Inserter, node: ir.Node) -> ir.Value:
    """Mean of several inputs."""
    return e.op("Mul", add_up(e, node), e.const("share", 1.0 / len(node.inputs)))


def cast_like(e: Inserter, node: ir.Node) -> ir.Value | None:
    """CastLike as a Cast to the other input's type; None where that is not known.

    PyTorch's exporter writes the zero bias of a convolution so, and a Cast can be computed in advance.
    """
    x, like = node.inputs
    kind = None if like is None else like.dtype
    return None if kind is None else e.op("Cast", x, to=kind)


REWRITES: dict[str, Rewrite] = {
    "Elu": elu,
    "Celu": celu,
    "Selu": selu,
    "Softplus": softplus,
    "Mish": mish,
    "Softsign": softsign,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": hard_swish,
    "PRelu": prelu,
    "ThresholdedRelu": thresholded_relu,
    "Gelu": gelu,
    "Swish": swish,
    "Sum": add_up,
    "Mean": mean,
    "CastLike": cast_like,
    **rewrite_einsum.REWRITES,
    **rewrite_grids.REWRITES,
    **rewrite_norms.REWRITES,
    **rewrite_pools.REWRITES,
    **rewrite_shapes.REWRITES,
}

RULED = frozenset(
    """
    Celu DepthToSpace Elu GlobalMaxPool HardSigmoid HardSwish LayerNormalization Mean Mish PRelu ReduceL1 ReduceMax
    ReduceMin ReduceSumSquare Selu Slice Softplus Softsign SpaceToDepth Split Sum ThresholdedRelu Where
    """.split()  # noqa: SIM905 - twenty quoted names would be harder to read
)
"""Operators that the target ``ort`` leaves as they are: it has a rule of its own for each form of them."""
BY_TARGET: Mapping[str, Mapping[str, Rewrite]] = {
    "ort": {
        **{op_type: one for op_type, one in REWRITES.items() if op_type not in RULED},
        "AveragePool": rewrite_pools.odd_average_pool,
        "ConvTranspose": rewrite_pools.conv_transpose,
    },
    "ort-training": REWRITES,
}
FIRST = ("AffineGrid", "CastLike", "Gelu", "GroupNormalization", "RMSNormalization", "Swish")
"""Operators that are rewritten before the opset is changed: opset 18 lacks them, defines them otherwise, or, of
CastLike, the type that decides is still in the file."""


def comes_first(node: ir.Node) -> bool:
    """Whether a node is rewritten before the opset is changed: its operator is, or what it asks of that is newer."""
    dilated = node.op_type == "AveragePool" and max(ints_attribute(node, "dilations", [1])) > 1
    wraps = node.op_type == "Pad" and string_attribute(node, "mode", "constant") == "wrap"
    return node.op_type in FIRST or dilated or wraps


def rewrite(graph: ir.Graph, nodes: Iterable[ir.Node], target: str) -> bool:
    """Apply a target's table to these nodes; returns whether any was replaced."""
    table, changed, names = BY_TARGET[target], False, Names(graph)
    for node in nodes:
        if node.op_type not in table:
            continue
        insert = Inserter(ORIGIN, graph, names).before(node)
        replacement = table[node.op_type](insert, node)
        if replacement is not None:
            insert.replace(replacement)
            changed = True
    return changed
