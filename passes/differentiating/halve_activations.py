"""Activations that the backward reads in half precision."""

import dataclasses
from collections.abc import Mapping, Sequence, Set

import onnx_ir as ir

from sparcl_compile.passes.analysis.liveness.chains import backward_nodes, late_readers
from sparcl_compile.passes.analysis.liveness.executor import VIEWS
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import DIFFERENTIATED, MOVING, PRUNED
from sparcl_compile.passes.core.operators import (
    BATCH_NORM,
    BATCH_NORM_GRADIENT,
    SPARSE_CONV,
    SPARSE_WEIGHT_GRADIENT,
    sparse_nodes,
)
from sparcl_compile.passes.core.phases import Phase

HALF = ir.TensorType(ir.DataType.BFLOAT16)
ENDING = ".bf16"
"""What the name of a value in half precision ends with."""

OUTPUTS: Mapping[str, int] = {SPARSE_CONV: 1, BATCH_NORM: 5}
"""By operator the output that is its first one in half precision."""
INPUTS: Mapping[str, Mapping[int, int]] = {
    SPARSE_CONV: {0: 5},
    SPARSE_WEIGHT_GRADIENT: {0: 5},
    BATCH_NORM: {0: 6, 3: 7},
    BATCH_NORM_GRADIENT: {1: 6, 5: 7},
}
"""By operator and input the input that takes its place in half precision."""


@dataclasses.dataclass(frozen=True)
class HalveActivations(Pass):
    """Keep what the backward reads of sparse convolutions and their normalisations as bfloat16, on a training graph.

    1. An activation that a sparse convolution or a batch-last normalisation computes, and that the gradient of a weight
       or of a normalisation reads, is rounded to bfloat16 where it is written. It is as long in memory as before, in
       half the bytes, and a step of a sparse network waits for memory.
    2. Sparse operators read it as bfloat16, in the forward and in the backward, and compute in float32. Both then
       compute with the same numbers, and the gradient is that of a network whose activations are rounded.
    3. With ``backward_only`` the forward's readers take the float32 numbers, which are written too and live until the
       last of them: no bit of the forward changes, gradients hardly differ, and less traffic is saved.
    4. All other operators read the float32 numbers, which the operator writes beside the rounded ones where there is
       such a reader. Where one of these is in the backward, or holds a view of them there, the activation stays
       float32: two copies are more than one.
    5. Gradients, statistics, weights and the evaluation graph stay float32. As under mixed precision (Micikevicius et
       al., ICLR 2018; Kalamkar et al., 2019, for bfloat16, whose range is that of float32), a rounded activation passes
       its gradient on as it is.
    """

    backward_only: bool = False

    phase = Phase.DIFFERENTIATING
    needs = (DIFFERENTIATED, PRUNED)
    before = (MOVING,)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Halve what can be halved; a graph without sparse operators is left alone."""
        nodes = [node for node in sparse_nodes(model.graph) if node.op_type in OUTPUTS]
        backward = backward_nodes(model.graph) if nodes else set()
        chosen = [node for node in nodes if pays(node.outputs[0], backward)]
        for node in chosen:
            _halve(node, [reader for reader in _readers(node) if not self.backward_only or reader[0] in backward])
        return ir.passes.PassResult(model, bool(chosen))


def pays(value: ir.Value, backward: Set[ir.Node]) -> bool:
    """Whether the backward reads a value, and sparse operators alone do so there."""
    if not value.name or value.dtype is not ir.DataType.FLOAT:
        return False
    late = late_readers(value, backward)
    return bool(late) and all(takes_half(node, slot) for node, slot in late) and not _is_kept(value, backward)


def takes_half(node: ir.Node, slot: int) -> bool:
    """Whether a node can read this input in half precision."""
    return slot in INPUTS.get(node.op_type, ())


def _is_kept(value: ir.Value, backward: Set[ir.Node]) -> bool:
    """Whether the float32 numbers live into the backward beside the rounded ones."""
    views = [usage.node.outputs[0] for usage in value.uses() if usage.node.op_type in VIEWS and usage.idx == 0]
    return value.is_graph_output() or any(late_readers(v, backward) or _is_kept(v, backward) for v in views)


def _readers(node: ir.Node) -> list[tuple[ir.Node, int]]:
    uses = [(usage.node, usage.idx) for usage in node.outputs[0].uses()]
    return [(reader, slot) for reader, slot in uses if takes_half(reader, slot)]


def _halve(node: ir.Node, readers: Sequence[tuple[ir.Node, int]]) -> None:
    whole = node.outputs[0]
    half = _output(node, OUTPUTS[node.op_type])
    half.name, half.shape, half.type = f"{whole.name}{ENDING}", whole.shape, HALF
    for reader, slot in readers:
        to = INPUTS[reader.op_type][slot]
        reader.resize_inputs(max(to + 1, len(reader.inputs)))
        reader.replace_input_with(slot, None)
        reader.replace_input_with(to, half)
    if not list(whole.uses()):
        whole.name, whole.shape, whole.type = "", None, None


def _output(node: ir.Node, number: int) -> ir.Value:
    """The output of this number of a node, behind which it has none."""
    node.resize_outputs(number + 1)
    return node.outputs[number]
