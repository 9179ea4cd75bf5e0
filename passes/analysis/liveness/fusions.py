"""Nodes that ONNX Runtime fuses when it loads a graph, as far as buffers depend on it."""

import dataclasses
from collections.abc import Set

import onnx_ir as ir


@dataclasses.dataclass(frozen=True)
class Fusions:
    """Nodes that take part in a convolution.

    Attributes:
        parts: nodes behind a convolution that are computed with it, and the input that is the convolution's output.
        sums: convolutions that are added to something, and what that is: they are computed into its memory.
    """

    parts: dict[ir.Node, ir.Value]
    sums: dict[ir.Node, ir.Value]


def fusions(graph: ir.Graph) -> Fusions:
    """The fusions of convolutions with constant weights (``conv_mul_fusion``, ``conv_add_fusion``, the NCHWc layout).

    1. A product or a sum with a constant that alone reads the convolution goes into its weights.
    2. So does, behind those, one sum with another value.
    """
    found = Fusions({}, {})
    constants = {value for value in graph.initializers.values() if not value.is_graph_input()}
    for node in graph:
        if node.op_type == "Conv" and node.inputs[1] in constants:
            _follow(node, constants, found)
    return found


def _follow(conv: ir.Node, constants: Set[ir.Value], found: Fusions) -> None:
    value, reader, other = _only_reader(conv.outputs[0])
    while reader is not None and other in constants:
        found.parts[reader] = value
        value, reader, other = _only_reader(reader.outputs[0])
    if reader is not None and other is not None and reader.op_type == "Add":
        found.parts[reader] = value
        found.sums[conv] = other


def _only_reader(value: ir.Value) -> tuple[ir.Value, ir.Node | None, ir.Value | None]:
    """The value, the one product or sum that reads it, and that one's other operand."""
    usages = list(value.uses())
    if len(usages) != 1 or value.is_graph_output() or usages[0].node.op_type not in ("Add", "Mul"):
        return value, None, None
    return value, usages[0].node, usages[0].node.inputs[1 - usages[0].idx]
