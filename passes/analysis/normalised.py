"""Layers whose outputs are normalised, so that the size of their weights does not matter."""

from typing import Literal

import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.heads import find_head
from sparcl_compile.passes.analysis.rows import weight_of
from sparcl_compile.passes.core.edit import int_attribute
from sparcl_compile.passes.core.layers import WEIGHT_SLOTS
from sparcl_compile.passes.core.marks import RAISED_KEY
from sparcl_compile.passes.core.roles import TRAINABLE, role_of

BATCH = "BatchNormalization"
SAMPLE = "LayerNormalization"
"""The normalisation of samples that stays an operator of its own: the import writes the others in single ones."""
GATED = ("GRU", "LSTM")
HiddenLayers = Literal["normalised", "gated", "raised", "other"]
PASSING = ("Identity", "Reshape")
"""Operators that only carry an output to its normalisation."""


def hidden_layers_are_normalised(graph: ir.Graph) -> bool:
    """Whether the output of every layer that trains goes into a normalisation and nowhere else, the last layer apart.

    The function of such a network does not depend on the size of these weights, and large steps correct themselves:
    the weights grow, and the next steps turn them less (Arora, Li and Lyu, "Theoretical analysis of auto rate-tuning
    by batch normalization", ICLR 2019). A forward graph without any such layer is not normalised.
    """
    return hidden_layers(graph) == "normalised"


def hidden_layers(graph: ir.Graph) -> HiddenLayers:
    """What kind of layers those of a network are that train, the last one apart.

    ``gated`` are networks with a GRU or an LSTM beside which every hidden layer that trains is normalised: what a gate
    lets through stays in its bounds whatever the weights are. ``raised`` are those whose weights ``raise_signal`` has
    made larger.
    """
    head = find_head(graph, _is_layer)
    layers = [node for node in graph if node is not head and _trains(node)]
    bare = [node.op_type for node in layers if not is_normalised(node.outputs[0])]
    if layers and not bare:
        return "normalised"
    if bare and all(op_type in GATED for op_type in bare):
        return "gated"
    raised = any(RAISED_KEY in weight.metadata_props for node in layers for weight in _weights(node))
    return "raised" if raised else "other"


def shares_statistics(graph: ir.Graph) -> bool:
    """Whether the samples of a batch share statistics that training takes: those of BatchNormalization."""
    return any(node.op_type == BATCH and int_attribute(node, "training_mode", 0) == 1 for node in graph)


def _weights(node: ir.Node) -> list[ir.Value]:
    """The weights that a layer reads, directly or through their masks; frozen ones, too."""
    read = [value for slot in WEIGHT_SLOTS.get(node.op_type, ()) if (value := node.inputs[slot]) is not None]
    return [weight for value in read if role_of(weight := weight_of(value) or value) in TRAINABLE]


def _is_layer(node: ir.Node) -> bool:
    return bool(_weights(node))


def _trains(node: ir.Node) -> bool:
    return any(role_of(weight) is Role.PARAMETER for weight in _weights(node))


def is_normalised(value: ir.Value) -> bool:
    """Whether a value goes into a normalisation and nowhere else."""
    readers = [usage.node for usage in value.uses()]
    if value.is_graph_output():
        return False
    if {node.op_type for node in readers} == {"ReduceMean", "Sub"}:
        return any(_is_divided_by_a_root(node.outputs[0]) for node in readers if node.op_type == "Sub")
    if {node.op_type for node in readers} == {"Mul", "Div"}:
        return _is_divided_by_a_root(value)
    if len(readers) != 1:
        return False
    (node,) = readers
    if node.op_type in PASSING:
        return is_normalised(node.outputs[0])
    if node.op_type == BATCH:
        return int_attribute(node, "training_mode", 0) == 1
    return node.op_type == SAMPLE


def _is_divided_by_a_root(value: ir.Value) -> bool:
    """Whether this is x or x - mean of a normalisation in single operators, as the import writes those of samples."""
    divisors = [usage.node.inputs[1] for usage in value.uses() if usage.node.op_type == "Div"]
    roots = [divisor.producer() for divisor in divisors if divisor is not None]
    return any(node is not None and node.op_type == "Sqrt" for node in roots)
