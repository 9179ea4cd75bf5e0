"""Elementwise chains from kept values to an activation, and the nodes that compute them a second time."""

from collections.abc import Set

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.base import Pass, constant, gradient_name, value_named
from sparcl_compile.passes.importing.edit import int_attribute
from sparcl_compile.passes.liveness.order import AT_ONCE
from sparcl_compile.passes.liveness.sizes import bytes_of

MAX_ADDS = 4
"""The work of all chains grows with the square of their length."""

NORMS = frozenset(["BatchNormInternal", "BatchNormalization"])
AGAIN = ".again"
"""What the name of a recomputed activation has behind the name of the one in the forward."""
CHEAP = NORMS | {"Add", "Clip", "Relu"}
LOSS = "loss"


def after_loss(graph: ir.Graph) -> set[ir.Node]:
    """The nodes that depend on the gradient of the loss; none in a graph that is not differentiated."""
    try:
        waiting = [value_named(graph, gradient_name(LOSS))]
    except KeyError:
        return set()
    found: set[ir.Node] = set()
    while waiting:
        readers = {usage.node for usage in waiting.pop().uses()} - found
        found |= readers
        waiting += [out for node in readers for out in node.outputs]
    return found


def backward_nodes(graph: ir.Graph) -> set[ir.Node]:
    """The nodes that depend on the gradient of the loss, and those that only such nodes read."""
    found = after_loss(graph)
    for node in reversed(graph):
        readers = {usage.node for out in node.outputs for usage in out.uses()}
        if readers and readers <= found and not any(out.is_graph_output() for out in node.outputs):
            found.add(node)
    return found


def packed(graph: ir.Graph) -> list[ir.Value]:
    """What only the backward reads and is smaller than what it is computed from and would be kept for it alone.

    Sizes must be known (:func:`at_batch`).
    """
    gradients, backward = after_loss(graph), backward_nodes(graph)
    waiting = [n for n in graph if n in backward and n not in gradients and n.op_type not in AT_ONCE]
    ready = [node for node in waiting if {usage.node for out in node.outputs for usage in out.uses()} <= gradients]
    return [node.outputs[0] for node in ready if _packs(node, backward)]


def _packs(node: ir.Node, backward: Set[ir.Node]) -> bool:
    sources = [value for value in node.inputs if value is not None and value.producer() is not None]
    alone = [value for value in sources if all(reader is node for reader, _ in late_readers(value, backward))]
    spared = sum(bytes_of(value) or 0 for value in alone)
    return sum(bytes_of(out) or 0 for out in node.outputs) < spared


def candidates(graph: ir.Graph, backward: Set[ir.Node]) -> list[ir.Value]:
    """What could be recomputed, in graph order: rule 1 of ``recompute_activations``."""
    adds: dict[ir.Value, int] = {}
    found = []
    for node in graph:
        if node in backward or not is_cheap(node):
            continue
        value, inputs = node.outputs[0], [adds[v] for v in activations(node) if v in adds]
        if node.op_type in NORMS:
            adds[value] = 0
        elif inputs:
            adds[value] = max(inputs) + (node.op_type == "Add")
        if value not in adds or not late_readers(value, backward):
            continue
        if adds[value] > MAX_ADDS or value.is_graph_output():
            del adds[value]
        else:
            found.append(value)
    return found


def is_cheap(node: ir.Node) -> bool:
    """Whether a second computation costs a walk over memory, from values that the backward keeps."""
    if node.op_type == "BatchNormInternal":
        return len(node.outputs) == 5 and all(out.name for out in node.outputs[3:])
    if node.op_type == "BatchNormalization":
        return not int_attribute(node, "training_mode", 0)
    return node.op_type in CHEAP


def activations(node: ir.Node) -> list[ir.Value]:
    """The inputs that a cheap node transforms; statistics, parameters and bounds are none."""
    inputs = node.inputs if node.op_type == "Add" else node.inputs[:1]
    return [value for value in inputs if value is not None]


def late_readers(value: ir.Value, backward: Set[ir.Node]) -> list[tuple[ir.Node, int]]:
    """Where the backward reads the contents of a value."""
    return [
        (usage.node, usage.idx)
        for usage in value.uses()
        if usage.node in backward and usage.node.op_type not in AT_ONCE
    ]


def originals(graph: ir.Graph) -> dict[ir.Value, ir.Value]:
    """Each recomputed activation that the backward reads, and the forward's value that it equals."""
    values = {str(out.name): out for node in graph for out in node.outputs}
    pairs = ((values.get(name.removesuffix(AGAIN)), out) for name, out in values.items() if name.endswith(AGAIN))
    return {again: original for original, again in pairs if original is not None}


class Chains:
    """Writes chains into a graph.

    Args:
        graph: a differentiated graph.
        backward: its backward nodes.
        chosen: the values that will not be kept.
        made_by: the pass whose nodes these are.
    """

    def __init__(self, graph: ir.Graph, backward: Set[ir.Node], chosen: Set[ir.Value], made_by: Pass) -> None:
        self._graph, self._backward, self._chosen, self._pass = graph, backward, chosen, made_by
        self._waiting = backward - after_loss(graph)
        self._copies: dict[ir.Value, int] = {}
        self._readers = {value: late_readers(value, backward) for value in chosen}

    def recompute(self, value: ir.Value) -> None:
        """Let the backward read a second computation of a chosen value."""
        nodes: list[ir.Node] = []
        new = self._again(value, f"{value.name}{AGAIN}", nodes)
        self._graph.insert_after(value.producer(), nodes)  # type: ignore[arg-type]
        for reader, slot in self._readers[value]:
            reader.replace_input_with(slot, new)
            if reader in self._waiting:
                # What is made of a value that is not kept has to wait like it.
                self._graph.remove(reader)
                self._graph.insert_after(nodes[-1], reader)

    def _again(self, value: ir.Value, name: str, nodes: list[ir.Node]) -> ir.Value:
        node = value.producer()
        if node is None:
            raise ValueError(f"{value.name} is no node's output")
        if node.op_type in NORMS:
            return self._normalise(node, name, nodes)
        again = [self._input(v, f"{name}.{i}", nodes) for i, v in enumerate(activations(node))]
        return self._emit(node.op_type, [*again, *node.inputs[len(again) :]], value, name, nodes)

    def _input(self, value: ir.Value, name: str, nodes: list[ir.Node]) -> ir.Value:
        node = value.producer()
        kept = value not in self._chosen and bool(late_readers(value, self._backward))
        if node is None or kept or not is_cheap(node) or not _reaches_norm(node):
            return value
        return self._again(value, name, nodes)

    def _normalise(self, node: ir.Node, name: str, nodes: list[ir.Node]) -> ir.Value:
        x, scale, shift, mean, variance = node.inputs[:5]
        epsilon = ir.AttrFloat32("epsilon", 0.0)
        if node.op_type == "BatchNormInternal":
            mean, deviation = node.outputs[3], node.outputs[4]
            scale = self._emit("Mul", [scale, deviation], deviation, f"{name}.gain", nodes)
            variance = self._ones(node)
        else:
            epsilon = node.attributes.get("epsilon", ir.AttrFloat32("epsilon", 1e-5))
        out = node.outputs[0]
        copy = self._copies[out] = self._copies.get(out, -1) + 1
        attributes = {"epsilon": epsilon.value, "momentum": float(copy)}
        return self._emit("BatchNormalization", [x, scale, shift, mean, variance], out, name, nodes, attributes)

    def _ones(self, node: ir.Node) -> ir.Value:
        shift = node.inputs[2]
        if shift is None or shift.shape is None:
            raise ValueError(f"{node.name} lacks its shift")
        channels = int(shift.shape[0])  # type: ignore[arg-type]
        return constant(self._graph, f"recompute.ones_{channels}", np.ones(channels, np.float32))

    def _emit(
        self,
        op_type: str,
        inputs: list[ir.Value | None],
        like: ir.Value,
        name: str,
        nodes: list[ir.Node],
        attributes: dict[str, object] | None = None,
    ) -> ir.Value:
        node = self._pass.node(op_type, inputs, attributes=attributes, name=name)
        out = node.outputs[0]
        out.name, out.shape, out.type = name, like.shape, like.type
        nodes.append(node)
        return out


def _reaches_norm(node: ir.Node) -> bool:
    """Whether a normalisation stands among what a chain would compute again."""
    if node.op_type in NORMS:
        return True
    producers = (value.producer() for value in activations(node))
    return any(_reaches_norm(producer) for producer in producers if producer is not None and is_cheap(producer))
