"""Elementwise chains from kept values to an activation, and the nodes that compute them a second time."""

from collections.abc import Set

import onnx_ir as ir

from sparcl_compile.interface.names import gradient_name
from sparcl_compile.passes.analysis.heads import below
from sparcl_compile.passes.analysis.liveness.sizes import bytes_of
from sparcl_compile.passes.core.batch_norms import kept_result, read_activations
from sparcl_compile.passes.core.edit import float_attribute, int_attribute
from sparcl_compile.passes.core.operators import BATCH_NORM
from sparcl_compile.passes.core.values import value_named

MAX_ADDS = 4
"""The work of all chains grows with the square of their length."""

NORMS = frozenset(["BatchNormInternal", "BatchNormalization"])
ROOTS = NORMS | {BATCH_NORM}
"""Where a chain begins: at what the backward keeps for a normalisation's gradient."""
AGAIN = ".again"
"""Suffix of a recomputed activation's name."""
CHEAP = NORMS | {"Add", "Clip", "Relu"}
LOSS = "loss"
ASK_FOR_SHAPES = frozenset(["Shape", "Size"])
"""They read no contents."""
CAST = "Cast"


def after_loss(graph: ir.Graph) -> set[ir.Node]:
    """The nodes that depend on the gradient of the loss; none in a graph that is not differentiated."""
    try:
        return set(below(value_named(graph, gradient_name(LOSS))))
    except KeyError:
        return set()


def backward_nodes(graph: ir.Graph) -> set[ir.Node]:
    """The nodes that depend on the gradient of the loss, and those that only such nodes read."""
    found = after_loss(graph)
    for node in reversed(graph):
        readers = {usage.node for out in node.outputs for usage in out.uses()}
        if readers and readers <= found and not any(out.is_graph_output() for out in node.outputs):
            found.add(node)
    return found


def packed(graph: ir.Graph) -> list[ir.Value]:
    """Values that only the backward reads, that are smaller than their inputs, and for which alone those would be kept.

    Sizes must be known (:func:`at_batch`).
    """
    gradients, backward = after_loss(graph), backward_nodes(graph)
    waiting = [n for n in graph if n in backward and n not in gradients and n.op_type not in ASK_FOR_SHAPES]
    ready = [node for node in waiting if _readers(node) <= gradients]
    return [node.outputs[0] for node in ready if _packs(node, backward)]


def _readers(node: ir.Node) -> set[ir.Node]:
    """The nodes that read a node's contents; where its shape is read as well, a Cast waits, and its readers count."""
    found = {usage.node for out in node.outputs for usage in out.uses()}
    shapes = {reader for reader in found if reader.op_type in ASK_FOR_SHAPES}
    casts = {reader for reader in found if shapes and reader.op_type == CAST}
    return (found - shapes - casts).union(*map(_readers, casts))


def _packs(node: ir.Node, backward: Set[ir.Node]) -> bool:
    sources = [value for value in node.inputs if value is not None and value.producer() is not None]
    alone = [value for value in sources if all(reader is node for reader, _ in late_readers(value, backward))]
    spared = sum(bytes_of(value) or 0 for value in alone)
    return sum(bytes_of(out) or 0 for out in node.outputs) < spared


def candidates(graph: ir.Graph, backward: Set[ir.Node]) -> list[ir.Value]:
    """Activations that could be recomputed, in graph order: rule 1 of ``recompute_activations``."""
    adds: dict[ir.Value, int] = {}
    found = []
    for node in graph:
        if node in backward or not is_cheap(node):
            continue
        value, inputs = result(node), [adds[v] for v in activations(node) if v in adds]
        if inputs or node.op_type in ROOTS:
            adds[value] = max(inputs, default=0) + (len(activations(node)) > 1)
        if value not in adds or not late_readers(value, backward):
            continue
        if adds[value] > MAX_ADDS or value.is_graph_output():
            del adds[value]
        else:
            found.append(value)
    return found


def is_cheap(node: ir.Node) -> bool:
    """Whether a second computation costs a walk over memory, from values that the backward keeps."""
    if node.op_type == BATCH_NORM:
        return bool(result(node).name)
    if node.op_type == "BatchNormInternal":
        return len(node.outputs) == 5 and all(out.name for out in node.outputs[3:])
    if node.op_type == "BatchNormalization":
        return not int_attribute(node, "training_mode", 0) or gives_batch_statistics(node)
    return node.op_type in CHEAP


def result(node: ir.Node) -> ir.Value:
    """What a cheap node gives to the backward."""
    return kept_result(node) if node.op_type == BATCH_NORM else node.outputs[0]


def gives_batch_statistics(node: ir.Node) -> bool:
    """Whether a BatchNormalization in training form returns the batch's own mean and variance."""
    return len(node.outputs) == 3 and float_attribute(node, "momentum", 0.9) == 0.0


def activations(node: ir.Node) -> list[ir.Value]:
    """The inputs that a cheap node transforms; statistics, parameters and bounds are none."""
    if node.op_type == BATCH_NORM:
        return read_activations(node)
    inputs = node.inputs if node.op_type == "Add" else node.inputs[:1]
    return [value for value in inputs if value is not None]


def late_readers(value: ir.Value, backward: Set[ir.Node]) -> list[tuple[ir.Node, int]]:
    """Backward nodes that read the contents of a value, with the input slot."""
    return [
        (usage.node, usage.idx)
        for usage in value.uses()
        if usage.node in backward and usage.node.op_type not in ASK_FOR_SHAPES
    ]


def originals(graph: ir.Graph) -> dict[ir.Value, ir.Value]:
    """Each recomputed activation that the backward reads, and the forward's value that it equals."""
    values = {str(out.name): out for node in graph for out in node.outputs}
    pairs = ((values.get(name.removesuffix(AGAIN)), out) for name, out in values.items() if name.endswith(AGAIN))
    return {again: original for original, again in pairs if original is not None}
