"""Which nodes run in the layout: the minimum cut of the graph between what must and what cannot."""

import math
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from sparcl_compile.passes.layout.forms import batch_last, enters, is_conversion, leaves, lengths_of
from sparcl_compile.passes.layout.rules import can_move

INSIDE, OUTSIDE = 0, 1
"""The numbers of the source and the sink; movable nodes are numbered behind them."""

CAPACITY = 2**30
"""What the capacities sum to at most: they are 32-bit integers."""


def nodes_to_move(graph: ir.Graph) -> list[ir.Node]:
    """The nodes that take the layout so that the fewest elements are transposed, in graph order.

    An activation is transposed once, and its gradient once, when its producer and readers are not all on one side,
    however many of them are on the other. A node that reads or gives a batch-last value is inside, a node without a
    rule is outside; the rest follow a minimum cut, of all minimum cuts the one with the most nodes inside: the
    normalisation is faster there. It is unique, so that a second look finds nothing to move.

    Method: hyperedges as pairs of nodes, E. Lawler, "Cutsets and partitions of hypergraphs", Networks 3, 1973.
    """
    inside = set(_inside_values(graph))
    movable = [node for node in graph if not _touches(node, inside) and not is_conversion(node) and can_move(node)]
    numbers = {node: number for number, node in enumerate(movable, OUTSIDE + 1)}
    sides = {node: INSIDE if _touches(node, inside) else numbers.get(node, OUTSIDE) for node in graph}
    apart = _outside_of_cut(_activations(graph, sides, inside), len(movable) + 2)
    return [node for node, number in numbers.items() if number not in apart]


def _inside_values(graph: ir.Graph) -> Iterator[ir.Value]:
    for node in graph:
        source = node.inputs[0] if leaves(node) else None
        if source is not None:
            yield source
        if enters(node):
            yield node.outputs[0]


def _touches(node: ir.Node, inside: set[ir.Value]) -> bool:
    """Whether a node computes with batch-last values."""
    return not is_conversion(node) and any(value in inside for value in (*node.inputs, *node.outputs))


def _activations(graph: ir.Graph, sides: dict[ir.Node, int], inside: set[ir.Value]) -> list[tuple[int, frozenset[int]]]:
    """The elements a sample of every activation, and the numbers of its producer and readers; its forms are one."""
    first: dict[ir.Value, ir.Value] = {}
    members: dict[ir.Value, set[int]] = {}

    def join(value: ir.Value | None, number: int) -> None:
        if value is not None and (value in inside or batch_last(value) is not None):
            members.setdefault(first.setdefault(value, value), set()).add(number)

    for value in graph.inputs:
        join(value, OUTSIDE)
    for node in graph:
        source = node.inputs[0] if is_conversion(node) else None
        if source is not None:
            first[node.outputs[0]] = first.setdefault(source, source)
            continue
        for touched in (*node.inputs, *node.outputs):
            join(touched, sides[node])
    for value in graph.outputs:
        join(value, OUTSIDE)
    return [(_elements(value), frozenset(numbers)) for value, numbers in members.items()]


def _elements(value: ir.Value) -> int:
    return math.prod(length for length in lengths_of(value) if isinstance(length, int))


def _outside_of_cut(activations: list[tuple[int, frozenset[int]]], nodes: int) -> set[int]:
    """The numbers that end on the side of the sink."""
    scale = 1 + sum(elements for elements, _ in activations) // CAPACITY
    edges: dict[tuple[int, int], int] = {}
    for place, (elements, numbers) in enumerate(activations):
        entry, exit_ = nodes + 2 * place, nodes + 2 * place + 1
        edges[entry, exit_] = max(1, elements // scale)
        for number in numbers:
            edges[number, entry] = edges[exit_, number] = CAPACITY
    size = nodes + 2 * len(activations)
    starts, ends = np.array(list(edges), np.int32).reshape(-1, 2).T
    capacity = coo_array((np.array(list(edges.values()), np.int32), (starts, ends)), shape=(size, size)).tocsr()
    rest = capacity - maximum_flow(capacity, INSIDE, OUTSIDE).flow
    backwards = (rest > 0).T.tocsr()
    return {int(number) for number in breadth_first_order(backwards, OUTSIDE, return_predecessors=False)}
