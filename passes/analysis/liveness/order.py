"""The order in which ONNX Runtime executes a graph, which is not the order of the file."""

from collections.abc import Iterable, Set

import onnx_ir as ir

from sparcl_compile.passes.analysis.liveness.executor import EXECUTORS, STOCK, Executor


def execution_order(file: Iterable[ir.Node], executor: Executor = EXECUTORS[STOCK]) -> list[ir.Node]:
    """A graph's nodes, given as its file has them, in the order of a session with the default ``execution_order``.

    ONNX Runtime 1.18 to 1.32 (``GraphViewer``): a depth-first search from the nodes that no node reads, the last one in
    the file first; it goes back along the inputs, the one whose producer stands last in the file first, and a node
    follows when its inputs are done. So the last reader of the file decides what comes first, and of two inputs the
    younger one: what only depends on old values is computed just before it is read. The training build takes what asks
    for a shape out of its turn, and runs it as soon as its input is there (``Executor.at_once``). What the session's
    own optimizers change in the graph is not seen here.
    """
    nodes = list(file)
    place = {node: index for index, node in enumerate(nodes)}
    stack = [(node, False) for node in nodes if not any(out.uses() for out in node.outputs)]
    seen: set[ir.Node] = set()
    order: list[ir.Node] = []
    while stack:
        node, inputs_done = stack.pop()
        if inputs_done:
            order += [node, *_at_once(node, executor.at_once, seen)]
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(before, False) for before in sorted(_before(node) - seen, key=place.__getitem__)]
    return order


def _before(node: ir.Node) -> set[ir.Node]:
    producers = (value.producer() for value in node.inputs if value is not None)
    return {producer for producer in producers if producer is not None and producer.graph is node.graph}


def _at_once(node: ir.Node, operators: Set[str], seen: set[ir.Node]) -> list[ir.Node]:
    readers = dict.fromkeys(usage.node for out in node.outputs for usage in out.uses())
    found = [r for r in readers if r.op_type in operators and r.graph is node.graph and r not in seen]
    seen.update(found)
    return found
