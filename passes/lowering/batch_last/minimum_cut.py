"""Which nodes run in the layout: the minimum cut of the graph between what must and what cannot."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.lowering.batch_last.forms import batch_last, enters, is_conversion, leaves, lengths_of
from sparcl_compile.passes.lowering.batch_last.rules import can_move

INSIDE, OUTSIDE = 0, 1
"""The numbers of the source and the sink; movable nodes are numbered behind them."""

CAPACITY = 2**30
"""Largest sum of the capacities, which are 32-bit integers."""


class Activation(NamedTuple):
    """Cost of a value that is needed in both layouts, with the numbers of the nodes that make and read it."""

    cost: int
    nodes: frozenset[int]


class Leaning(NamedTuple):
    """Cost of a node by itself on either side of the cut."""

    inside: int
    outside: int


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
    apart = outside_of_cut(activations_of(graph, sides, inside), len(movable) + 2)
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


def activations_of(graph: ir.Graph, sides: Mapping[ir.Node, int], inside: set[ir.Value]) -> list[Activation]:
    """Every activation with its elements a sample; its forms are one.

    Args:
        graph: a forward graph.
        sides: the number of each node.
        inside: the batch-last values of the graph.
    """
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
    return [Activation(elements(value), frozenset(numbers)) for value, numbers in members.items()]


def elements(value: ir.Value | None) -> int:
    """The elements of one sample of an activation."""
    return math.prod(length for length in lengths_of(value) if isinstance(length, int))


def outside_of_cut(
    activations: Sequence[Activation], nodes: int, leanings: Mapping[int, Leaning] | None = None
) -> set[int]:
    """The numbers that end on the side of the sink in the cut with the most nodes inside of all cheapest ones.

    Args:
        activations: what is paid where a cut goes through them.
        nodes: one more than the largest number of a node.
        leanings: what a node costs by itself, by its number; nothing where it is missing.
    """
    own = leanings or {}
    total = sum(one.cost for one in activations) + sum(sum(one) for one in own.values())
    scale = 1 + total // CAPACITY
    edges: dict[tuple[int, int], int] = {}
    for number, one in own.items():
        edges[number, OUTSIDE], edges[INSIDE, number] = one.inside // scale, one.outside // scale
    for place, (cost, numbers) in enumerate(activations):
        entry, exit_ = nodes + 2 * place, nodes + 2 * place + 1
        edges[entry, exit_] = max(1, cost // scale)
        for number in numbers:
            edges[number, entry] = edges[exit_, number] = CAPACITY
    return _reaching(edges, nodes + 2 * len(activations))


def _reaching(edges: Mapping[tuple[int, int], int], size: int) -> set[int]:
    """The nodes on ``OUTSIDE``'s side of the smallest cut."""
    # Takes a quarter of a second to load, and serves --compress alone.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    starts, ends = np.array(list(edges), np.int32).reshape(-1, 2).T
    capacity = coo_array((np.array(list(edges.values()), np.int32), (starts, ends)), shape=(size, size)).tocsr()
    rest = capacity - maximum_flow(capacity, INSIDE, OUTSIDE).flow
    backwards = (rest > 0).T.tocsr()
    return {int(number) for number in breadth_first_order(backwards, OUTSIDE, return_predecessors=False)}
