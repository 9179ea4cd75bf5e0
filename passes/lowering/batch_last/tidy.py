"""One conversion an activation: equal ones are shared, inverse ones cancel, unread ones go."""

import onnx_ir as ir

from sparcl_compile.passes.core.edit import is_read
from sparcl_compile.passes.lowering.batch_last.forms import enters, inside_form, is_conversion, leaves


def share_conversions(graph: ir.Graph) -> bool:
    """Let readers of a second Transpose to the same form read the first; returns whether any did."""
    done = [_share(node) for node in graph if enters(node) or leaves(node)]
    return any(done)


def drop_unread(graph: ir.Graph) -> bool:
    """Remove unread conversions; returns whether there were any."""
    unread = 0
    for node in reversed(graph):
        if is_conversion(node) and not is_read(node.outputs[0]):
            graph.remove(node, safe=True)
            unread += 1
    return unread > 0


def _share(node: ir.Node) -> bool:
    out = node.outputs[0]
    first = _first_of_form(node)
    if first is None or first is out or out.is_graph_output() or not is_read(out):
        return False
    out.replace_all_uses_with(first)
    return True


def _first_of_form(node: ir.Node) -> ir.Value | None:
    """The value that holds what a Transpose gives, found from the value that it reads."""
    source = node.inputs[0]
    if source is None:
        return None
    if enters(node):
        return inside_form(source)
    producer = source.producer()
    if producer is not None and enters(producer):
        return producer.inputs[0]
    return next((usage.node.outputs[0] for usage in source.uses() if leaves(usage.node)), None)
