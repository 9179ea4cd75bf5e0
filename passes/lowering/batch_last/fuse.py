"""Fusion of a batch-last normalisation with the residual Add and the Relu that follow it."""

import onnx_ir as ir

from sparcl_compile.passes.core.edit import int_attribute, replace_uses
from sparcl_compile.passes.core.operators import BATCH_NORM, sparse_nodes
from sparcl_compile.passes.lowering.batch_last.forms import lengths_of

ADDEND = 3
"""The slot of the other operand of the Add."""


def fuse_norms(graph: ir.Graph) -> bool:
    """Let every normalisation take in the Add and the Relu behind it; returns whether any did."""
    norms = [node for node in sparse_nodes(graph) if node.op_type == BATCH_NORM]
    done = [take for norm in norms for take in (_take_addend(graph, norm), _take_relu(graph, norm))]
    return any(done)


def _take_addend(graph: ir.Graph, norm: ir.Node) -> bool:
    add = _only_reader(norm.outputs[0], "Add")
    if add is None or norm.inputs[ADDEND] is not None or int_attribute(norm, "relu", 0):
        return False
    other = add.inputs[1] if add.inputs[0] is norm.outputs[0] else add.inputs[0]
    if other is None or lengths_of(other) != lengths_of(norm.outputs[0]):
        return False
    norm.replace_input_with(ADDEND, other)
    _take_output(graph, norm, add)
    return True


def _take_relu(graph: ir.Graph, norm: ir.Node) -> bool:
    relu = _only_reader(norm.outputs[0], "Relu")
    if relu is None or int_attribute(norm, "relu", 0):
        return False
    norm.attributes["relu"] = ir.AttrInt64("relu", 1)
    _take_output(graph, norm, relu)
    return True


def _only_reader(value: ir.Value, op_type: str) -> ir.Node | None:
    readers = [usage.node for usage in value.uses()]
    if len(readers) != 1 or value.is_graph_output() or (readers[0].domain, readers[0].op_type) != ("", op_type):
        return None
    return readers[0]


def _take_output(graph: ir.Graph, norm: ir.Node, reader: ir.Node) -> None:
    """The normalisation stands and answers for its reader: behind the addend, under the reader's output name."""
    old, new = reader.outputs[0], norm.outputs[0]
    name = old.name
    graph.remove(norm)
    graph.insert_before(reader, norm)
    replace_uses(graph, old, new)
    graph.remove(reader, safe=True)
    new.name = name
