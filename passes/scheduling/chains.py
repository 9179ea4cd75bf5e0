"""Elementwise chains written into a graph a second time."""

from collections.abc import Set

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.analysis.liveness.chains import (
    AGAIN,
    ASK_FOR_SHAPES,
    NORMS,
    ROOTS,
    activations,
    after_loss,
    gives_batch_statistics,
    is_cheap,
    late_readers,
)
from sparcl_compile.passes.core.batch_norms import ADDEND, ADDEND_HALF, X_HALF, Y_HALF, X, factor_and_offset
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import int_attribute, is_read, replace_uses
from sparcl_compile.passes.core.operators import BATCH_NORM, BATCH_NORM_AGAIN, SPARSE_DOMAIN
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
        self._graph, self._backward, self._chosen = graph, backward, chosen
        self._insert = made_by.inserter(graph)
        self._waiting = backward - after_loss(graph)
        self._copies: dict[ir.Value, int] = {}
        self._readers = {value: self._late(value) for value in chosen}

    def _late(self, value: ir.Value) -> list[tuple[ir.Node, int]]:
        """The readers that get the second computation.

        What compares two values of the forward pass, as the gradient of a Clip does, must see both as they were: the
        second computation of one may be a bit off.
        """
        readers = late_readers(value, self._backward)
        return [(node, slot) for node, slot in readers if node not in self._waiting or _reads_one(node)]

    def recompute(self, value: ir.Value) -> None:
        """Let the backward read a second computation of a chosen value."""
        self._insert.behind(_producer(value))
        new = self._again(value, f"{value.name}{AGAIN}")
        for reader, slot in self._readers[value]:
            reader.replace_input_with(slot, new)
            if reader in self._waiting:
                self._let_wait(reader)

    def _let_wait(self, reader: ir.Node) -> None:
        """What is made of a value that is not kept has to wait like it: nothing may ask for its shape before."""
        self._graph.remove(reader)
        self._graph.insert_after(self._insert.place, reader)
        for shape in [usage.node for usage in reader.outputs[0].uses() if usage.node.op_type in ASK_FOR_SHAPES]:
            for view in [usage.node for usage in shape.outputs[0].uses() if usage.node.op_type == "Reshape"]:
                replace_uses(self._graph, view.outputs[0], view.inputs[0])  # type: ignore[arg-type]
                self._graph.remove(view, safe=True)
            if not is_read(shape.outputs[0]):
                self._graph.remove(shape, safe=True)

    def _again(self, value: ir.Value, name: str) -> ir.Value:
        node = _producer(value)
        if node.op_type in NORMS:
            return self._normalise(node, name)
        if node.op_type == BATCH_NORM:
            return self._apply(node, value, name)
        again = [self._input(v, f"{name}.{i}") for i, v in enumerate(activations(node))]
        return self._insert.op(node.op_type, *again, *node.inputs[len(again) :], name=name, like=value)

    def _input(self, value: ir.Value, name: str) -> ir.Value:
        node = value.producer()
        kept = value not in self._chosen and bool(late_readers(value, self._backward))
        if node is None or kept or not is_cheap(node) or not _reaches_norm(node):
            return value
        return self._again(value, name)

    def _apply(self, node: ir.Node, value: ir.Value, name: str) -> ir.Value:
        """A batch-last normalisation with its addend and its ReLU, from the factor and the offset that it gives."""
        inputs = dict(enumerate(node.inputs))
        for slot in (ADDEND, ADDEND_HALF):
            if (addend := inputs.get(slot)) is not None:
                inputs[slot] = self._input(addend, f"{name}.{slot}")
        read = [inputs[X], *factor_and_offset(node), inputs[ADDEND], inputs.get(X_HALF), inputs.get(ADDEND_HALF)]
        last = max(slot for slot, one in enumerate(read) if one is not None)
        made = self._insert.node(
            BATCH_NORM_AGAIN,
            *read[: last + 1],
            name=name,
            domain=SPARSE_DOMAIN,
            outputs=1 + (value is node.outputs[Y_HALF]),
            relu=int_attribute(node, "relu", 0),
        )
        made.outputs[0].name, out = "", made.outputs[-1]
        out.name, out.shape, out.type = name, value.shape, value.type
        return out

    def _normalise(self, node: ir.Node, name: str) -> ir.Value:
        x, scale, shift, mean, variance = node.inputs[:5]
        epsilon = ir.AttrFloat32("epsilon", 0.0)
        if node.op_type == "BatchNormInternal":
            mean, deviation = node.outputs[3], node.outputs[4]
            scale = self._insert.op("Mul", scale, deviation, name=f"{name}.gain", like=deviation)
            variance = self._ones(node)
        else:
            if gives_batch_statistics(node):
                mean, variance = node.outputs[1:3]
            epsilon = node.attributes.get("epsilon", ir.AttrFloat32("epsilon", 1e-5))
        out = node.outputs[0]
        copy = self._copies[out] = self._copies.get(out, -1) + 1
        attributes = {"epsilon": epsilon.value, "momentum": float(copy)}
        inputs = (x, scale, shift, mean, variance)
        return self._insert.op("BatchNormalization", *inputs, name=name, like=out, **attributes)

    def _ones(self, node: ir.Node) -> ir.Value:
        shift = node.inputs[2]
        if shift is None or shift.shape is None:
            raise ValueError(f"{node.name} lacks its shift")
        channels = int(shift.shape[0])  # type: ignore[arg-type]
        return constant(self._graph, f"recompute.ones_{channels}", np.ones(channels, np.float32))


def _reads_one(node: ir.Node) -> bool:
    """Whether no more than one input comes from another node."""
    return sum(value is not None and value.producer() is not None for value in node.inputs) == 1


def _producer(value: ir.Value) -> ir.Node:
    node = value.producer()
    if node is None:
        raise ValueError(f"{value.name} is no node's output")
    return node


def _reaches_norm(node: ir.Node) -> bool:
    """Whether a normalisation stands among what a chain would compute again."""
    if node.op_type in ROOTS:
        return True
    producers = (value.producer() for value in activations(node))
    return any(_reaches_norm(producer) for producer in producers if producer is not None and is_cheap(producer))
