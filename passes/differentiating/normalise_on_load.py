"""Normalised activations that are never written."""

import dataclasses

import onnx_ir as ir

from sparcl_compile.passes.core.batch_norms import ADDEND, factor_and_offset
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import int_attribute
from sparcl_compile.passes.core.facts import DIFFERENTIATED, MOVING, PRUNED
from sparcl_compile.passes.core.operators import (
    BATCH_NORM,
    BATCH_NORM_GRADIENT,
    SPARSE_CONV,
    SPARSE_WEIGHT_GRADIENT,
    sparse_nodes,
)
from sparcl_compile.passes.core.phases import Phase

GATE = 5
"""The slot of a normalisation's gradient that reads the normalisation's output."""
LOADS = (SPARSE_CONV, SPARSE_WEIGHT_GRADIENT)
"""Operators that normalise their first input as they read it."""
FIRST_INPUT = {SPARSE_CONV: 6, SPARSE_WEIGHT_GRADIENT: 6, BATCH_NORM_GRADIENT: 8}
"""By operator the input that takes the factor; the next one takes the offset."""


@dataclasses.dataclass(frozen=True)
class NormaliseOnLoad(Pass):
    """Let sparse convolutions normalise their input as they load it, on a training graph.

    1. A batch-last normalisation without an addend whose output only sparse convolutions, their weights' gradients and
       the gate of its own gradient read gives its factor and its offset, one number a channel, in place of the output:
       ``y = relu?(x * factor + offset)``. It reads x once, for the statistics, and writes nothing.
    2. Its readers take x with the factor and the offset, and compute y in the copy of a block that they make anyway;
       the gate is recomputed from x. A tensor less is written, and a tensor less is kept for the backward.
    3. A normalisation with an addend stays: its output is the addend of the next one, and what it is computed from
       would have to be kept back to the beginning of the network.
    """

    phase = Phase.DIFFERENTIATING
    needs = (DIFFERENTIATED, PRUNED)
    before = (MOVING,)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Change every normalisation that can be; a graph without sparse operators is left alone."""
        chosen = [node for node in sparse_nodes(model.graph) if node.op_type == BATCH_NORM and _can(node)]
        for node in chosen:
            _load(node)
        return ir.passes.PassResult(model, bool(chosen))


def _can(node: ir.Node) -> bool:
    out = node.outputs[0]
    readers = [(usage.node, usage.idx) for usage in out.uses()]
    if not readers or out.is_graph_output() or node.inputs[0] is None or node.inputs[ADDEND] is not None:
        return False
    return all(_takes(reader, slot) for reader, slot in readers)


def _takes(reader: ir.Node, slot: int) -> bool:
    if reader.op_type == BATCH_NORM_GRADIENT:
        return slot == GATE
    return reader.op_type in LOADS and slot == 0 and "relu" not in reader.attributes


def _load(node: ir.Node) -> None:
    out, x = node.outputs[0], node.inputs[0]
    numbers = factor_and_offset(node)
    for reader, slot in [(usage.node, usage.idx) for usage in out.uses()]:
        first = FIRST_INPUT[reader.op_type]
        reader.resize_inputs(first + 2)
        reader.replace_input_with(slot, None if reader.op_type == BATCH_NORM_GRADIENT else x)
        for place, value in enumerate(numbers, start=first):
            reader.replace_input_with(place, value)
        if reader.op_type in LOADS and int_attribute(node, "relu", 0):
            reader.attributes["relu"] = ir.AttrInt64("relu", 1)
    out.name, out.shape, out.type = "", None, None
