"""Which next values of a graph may be written over the current ones."""

import onnx_ir as ir

from sparcl_compile.passes.liveness.buffers import IN_PLACE, VIEWS, alike

NEXT = ".next"


def overwritable(graph: ir.Graph) -> list[str]:
    """The state tensors ``NAME`` whose output ``NAME.next`` may have the memory of the input ``NAME``, in output order.

    1. The node that gives ``NAME.next`` is one that ONNX Runtime itself lets write over its input
       (``buffers.IN_PLACE``): it has read what it still needs when it writes.
    2. Every other reader of ``NAME``, those behind a view of it too, comes before that node by the graph's edges, so in
       every order of execution.
    3. Both have one shape and one type, and ``NAME`` reaches the node itself, if it does, in a place that may be
       written over.
    """
    inputs = {str(value.name): value for value in graph.inputs}
    following = [out for out in graph.outputs if str(out.name).endswith(NEXT)]
    pairs = [(inputs.get(str(out.name).removesuffix(NEXT)), out) for out in following]
    return [str(value.name) for value, out in pairs if value is not None and _is_free(value, out)]


def _is_free(value: ir.Value, out: ir.Value) -> bool:
    node = out.producer()
    if node is None or out is not node.outputs[0] or not alike(value, out):
        return False
    slots = IN_PLACE.get(node.op_type, ())
    shared = _views(value)
    reads = [usage for one in shared for usage in one.uses()]
    if not slots or any(usage.node is node and usage.idx not in slots for usage in reads):
        return False
    earlier = {usage.node for usage in reads} - {node}
    return earlier <= _before(node) and not any(one.is_graph_output() for one in shared)


def _views(value: ir.Value) -> list[ir.Value]:
    """The value and what shares its memory."""
    found = [value]
    for one in found:
        found += [usage.node.outputs[0] for usage in one.uses() if usage.node.op_type in VIEWS and usage.idx == 0]
    return found


def _before(node: ir.Node) -> set[ir.Node]:
    found: set[ir.Node] = set()
    waiting = [node]
    while waiting:
        producers = (value.producer() for value in waiting.pop().inputs if value is not None)
        new = {producer for producer in producers if producer is not None} - found
        found |= new
        waiting += new
    return found
