"""Which operators ONNX Runtime 1.19.2's gradient builder differentiates correctly.

Each was differentiated with a symbolic batch and compared with numeric gradients, which
tests/passes/importing/test_differentiable.py repeats. Known traps, which rewrites.py removes first:
wrong values for an ``auto_pad`` other than NOTSET, for a Split with an unread output and for a Where that broadcasts a
differentiated branch; failures for AveragePool with a symbolic batch, LayerNormalization without its three outputs or
bias, a negative Slice step, a Pad that is not constant, and a vector as a MatMul operand.
"""

from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.interface.errors import UnsupportedOpsError
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.gradients.table import rule_for

BUILDER = "ort-training"
"""The target whose gradients ONNX Runtime's builder makes."""
DIFFERENTIABLE = frozenset(
    """
    Abs Add BatchNormalization Cast Clip Concat Conv Cos Div Erf Exp Expand Flatten Gather GatherElements GatherND Gemm
    GlobalAveragePool Identity LayerNormalization LeakyRelu Log LogSoftmax MatMul Max MaxPool Min Mul Neg Pad Pow
    Reciprocal ReduceL2 ReduceLogSumExp ReduceMean ReduceSum Relu Reshape Sigmoid Sin Slice Softmax Split Sqrt Squeeze
    Sub Tanh Tile TopK Transpose Trilu Unsqueeze Where
    """.split()  # noqa: SIM905 - sixty quoted names would be harder to read
)
STOPS = frozenset(
    """
    And ArgMax ArgMin Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual NonZero Not Or Shape Size
    """.split()  # noqa: SIM905 - as above
)
"""Operators whose results carry no gradient by definition: what they compute is no function to train through."""


def training_path(graph: ir.Graph) -> list[ir.Node]:
    """The nodes between a parameter and the logits, in graph order."""
    below: set[ir.Value] = {v for v in graph.initializers.values() if role_of(v) is Role.PARAMETER}
    forward = []
    for node in graph:
        if node.op_type not in STOPS and any(value in below for value in node.inputs):
            below.update(node.outputs)
            forward.append(node)
    needed: set[ir.Value | None] = {graph.outputs[0]}
    path = []
    for node in reversed(forward):
        if any(value in needed for value in node.outputs):
            needed.update(node.inputs)
            path.append(node)
    return path[::-1]


def check_differentiable(graph: ir.Graph, target: str = BUILDER) -> None:
    """Raise UnsupportedOpsError naming every node on the training path that has no gradient in a target."""
    is_differentiable = GRADIENTS[target]
    problems = [node for node in training_path(graph) if not is_differentiable(node)]
    if problems:
        names = ", ".join(f"{node.op_type} ({node.name})" for node in problems)
        count = f"{len(problems)} operator(s) between the weights and the logits"
        raise UnsupportedOpsError(f"{count} cannot be trained: {names}; {mend(problems)}")


def mend(problems: Sequence[ir.Node]) -> str:
    """The way out for operators that a target cannot train: the target that can, where there is one."""
    if all(map(is_ruled, problems)):
        return "give --target ort, which has their gradients"
    return "replace them in the model before exporting it, or add their gradients (docs/gradients.md)"


def is_built(node: ir.Node) -> bool:
    """Whether the gradient builder handles this node as it stands."""
    if node.op_type == "Pad":
        return "mode" not in node.attributes or node.attributes["mode"].as_string() == "constant"
    if node.op_type == "Pow":
        exponent = node.inputs[1]
        return exponent is not None and exponent.is_initializer() and role_of(exponent) is None
    return node.op_type in DIFFERENTIABLE


def is_ruled(node: ir.Node) -> bool:
    """Whether the table of our own gradients has this node's operator."""
    return rule_for(node) is not None


GRADIENTS: Mapping[str, Callable[[ir.Node], bool]] = {"ort": is_ruled, BUILDER: is_built}
"""By target whether a node has a gradient."""
