"""Removal of many nodes at once: onnx-ir's own passes look through all outputs of the graph for each node that goes."""

import onnx_ir as ir
from onnx_ir.passes.common import IdentityEliminationPass, RemoveUnusedNodesPass


def remove_unused(model: ir.Model) -> bool:
    """Remove what no output needs, as RemoveUnusedNodesPass does; returns whether there was anything."""
    gone = []
    for node in reversed(model.graph):
        if any(out.uses() or out.is_graph_output() for out in node.outputs):
            continue
        for slot in range(len(node.inputs)):
            node.replace_input_with(slot, None)
        gone.append(node)
    model.graph.remove(gone)
    return RemoveUnusedNodesPass()(model).modified or bool(gone)


def remove_unread_constants(graph: ir.Graph) -> None:
    """Remove initializers that no node reads and no output is."""
    for value in list(graph.initializers.values()):
        if not value.uses() and not value.is_graph_output():
            graph.initializers.pop(str(value.name))


def remove_identities(model: ir.Model) -> bool:
    """Remove Identity nodes, as IdentityEliminationPass does; returns whether there was any."""
    nodes = [node for node in model.graph if node.op_type == "Identity" and node.domain == ""]
    gone = []
    for node in nodes:
        value, copy = node.inputs[0], node.outputs[0]
        if value is None or copy.is_graph_output():
            continue
        value.shape, value.type = _known(value.shape, copy.shape), value.type or copy.type
        copy.replace_all_uses_with(value)
        gone.append(node)
    model.graph.remove(gone, safe=True)
    return IdentityEliminationPass()(model).modified or bool(gone)


def _known(one: ir.Shape | None, other: ir.Shape | None) -> ir.Shape | None:
    """The length that two statements of one dimension give together: a number rather than a symbol."""
    if one is None or other is None or len(one) != len(other):
        return other if one is None else one
    return ir.Shape([_length(a, b) for a, b in zip(one, other, strict=True)])


def _length(one: int | ir.SymbolicDim, other: int | ir.SymbolicDim) -> int | ir.SymbolicDim:
    if isinstance(one, int):
        return one
    return other if isinstance(other, int) or one.value is None else one
