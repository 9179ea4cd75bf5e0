"""Elementwise chains written into a graph a second time."""

from collections.abc import Set

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.analysis.liveness.chains import AGAIN, NORMS, activations, after_loss, is_cheap, late_readers
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.values import constant


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
