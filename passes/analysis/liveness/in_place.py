"""Which next values of a graph may be written over the current ones."""

import collections
import math
from collections.abc import Mapping

import onnx_ir as ir

from sparcl_compile.interface.names import NEXT, accumulator_name
from sparcl_compile.passes.analysis.liveness.buffers import alike
from sparcl_compile.passes.analysis.liveness.executor import VIEWS

_UNARY = (
    *("Abs", "Cast", "Ceil", "Clip", "Elu", "Erf", "Exp", "Floor", "HardSigmoid", "LeakyRelu", "Log", "Neg", "Not"),
    *("Reciprocal", "Relu", "Scale", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Tanh", "ThresholdedRelu"),
)
ELEMENTWISE: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(_UNARY, (0,)),
    **dict.fromkeys(("Add", "Div", "Mul", "Sub"), (0, 1)),
    "Pow": (0,),
    "ScatterND": (0,),
}
"""Operators that read an element before they write the one in its place, and the inputs for which that holds.

ScatterND copies its data and then writes rows of it; ONNX Runtime leaves the copy out where both have one memory.
"""

ACCUMULATOR = accumulator_name("")
"""Suffix of a gradient accumulator's name."""

SHARED = VIEWS | {"Transpose"}
"""Views, and what a session may leave out: a product of matrices then reads the value itself, when it runs."""


def overwritable(graph: ir.Graph) -> list[str]:
    """The state tensors ``NAME`` whose output ``NAME.next`` may have the memory of the input ``NAME``, in output order.

    1. The node that gives ``NAME.next`` works element by element or on single rows (``ELEMENTWISE``): it has read what
       it still needs when it writes.
    2. Every other reader of ``NAME``, those behind a view of it too, comes before that node by the graph's edges, so in
       every order of execution.
    3. Both have one shape and one type, and ``NAME`` reaches the node itself, if it does, in a place that may be
       written over.
    4. An accumulator that the graph does not read, but begins anew, is free.
    """
    inputs, places = {str(value.name): value for value in graph.inputs}, places_of(graph)
    following = {str(out.name).removesuffix(NEXT): out for out in graph.outputs if str(out.name).endswith(NEXT)}

    def is_free(name: str) -> bool:
        value = inputs.get(name)
        return name.endswith(ACCUMULATOR) if value is None else _is_free(value, following[name], places)

    return [name for name in following if is_free(name)]


def _is_free(value: ir.Value, out: ir.Value, places: Mapping[ir.Node, int]) -> bool:
    node = out.producer()
    if node is None or out is not node.outputs[0] or not alike(value, out):
        return False
    slots = ELEMENTWISE.get(node.op_type, ())
    shared = _views(value)
    reads = [usage for one in shared for usage in one.uses()]
    if not slots or any(usage.node is node and usage.idx not in slots for usage in reads):
        return False
    return not unordered_readers(value, node, places) and not any(one.is_graph_output() for one in shared)


def places_of(graph: ir.Graph) -> dict[ir.Node, int]:
    """Place of every node in a sorted graph, from 0."""
    return {node: place for place, node in enumerate(graph)}


def unordered_readers(value: ir.Value, node: ir.Node, places: Mapping[ir.Node, int]) -> list[ir.Node]:
    """The other readers of a value, those behind a view of it too, that the edges do not put before ``node``.

    Args:
        value: what is read.
        node: where the search goes back from.
        places: of all nodes before ``node``.
    """
    readers = dict.fromkeys(usage.node for one in _views(value) for usage in one.uses())
    missing = set(readers) - {node}
    _discard_sources(missing, node, places)
    return [reader for reader in readers if reader in missing]


def _views(value: ir.Value) -> list[ir.Value]:
    """The value and what shares its memory, or may do so in a session."""
    found = [value]
    for one in found:
        found += [usage.node.outputs[0] for usage in one.uses() if usage.node.op_type in SHARED and usage.idx == 0]
    return found


def _discard_sources(missing: set[ir.Node], node: ir.Node, places: Mapping[ir.Node, int]) -> None:
    """Take out of ``missing`` what ``node`` depends on, in place.

    The search is by breadth and goes back no further than to the first node that is missing: a gradient depends on its
    layer's own activations by a few edges, and nothing of the whole pass before is looked at.
    """
    seen, waiting = {node}, collections.deque([node])
    while waiting and missing:
        first = min(places.get(one, math.inf) for one in missing)
        producers = (value.producer() for value in waiting.popleft().inputs if value is not None)
        new = {one for one in producers if one is not None and places.get(one, -1) >= first} - seen
        missing -= new
        seen |= new
        waiting.extend(new)
