"""Input gradients of convolutions that do not train, without the convolution's input."""

import dataclasses

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import ints_attribute, is_read, kept_attributes, replace_uses
from sparcl_compile.passes.core.facts import DIFFERENTIATED, PRUNED
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.values import constant

DX, DW, DB = range(3)
"""The outputs of ConvGrad(dY, X, W)."""


@dataclasses.dataclass(frozen=True)
class TransposeFrozenConvolutions(Pass):
    """Write ConvGrad without a weight gradient in standard operators that do not read the convolution's input.

    1. ``dX = ConvGrad(dY, X, W)`` becomes ``ConvTranspose(dY, W)``, the same sums. ``output_padding`` are the rows of X
       that a stride leaves over at its end. ConvGrad takes X whatever it computes, so that every activation in front of
       a frozen convolution would be kept for a gradient that is not asked for.
    2. ``dB`` becomes the sum of dY over the batch and the positions.
    3. Left alone: a weight gradient that is read; an X whose spatial shape is unknown.
    """

    phase = Phase.DIFFERENTIATING
    needs = (DIFFERENTIATED, PRUNED)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Replace the nodes of a pruned training graph."""
        nodes = [node for node in model.graph if node.op_type == "ConvGrad" and not _is_read(node, DW)]
        chosen = [node for node in nodes if _spatial(node) is not None]
        for node in chosen:
            self._replace(model.graph, node)
        return ir.passes.PassResult(model, bool(chosen))

    def _replace(self, graph: ir.Graph, node: ir.Node) -> None:
        gradient, _, weight = node.inputs[:3]
        made, insert = {}, self.inserter(graph).before(node)
        if _is_read(node, DX):
            attributes = {**kept_attributes(node), "output_padding": _left_over(node)}
            name = f"{node.name}.transposed"
            made[DX] = insert.node("ConvTranspose", gradient, weight, name=name, **attributes)
        if _is_read(node, DB):
            axes = [0, *range(2, 2 + len(_spatial(node) or ()))]
            over = constant(graph, f"conv.axes_{len(axes)}", np.array(axes, np.int64))
            name = f"{node.name}.bias"
            made[DB] = insert.node("ReduceSum", gradient, over, name=name, keepdims=0)
        old = {slot: (node.outputs[slot], str(node.outputs[slot].name)) for slot in made}
        for slot, new in made.items():
            out = new.outputs[0]
            out.shape, out.type = old[slot][0].shape, old[slot][0].type
            replace_uses(graph, old[slot][0], out)
        graph.remove(node, safe=True)
        for slot, new in made.items():
            new.outputs[0].name = old[slot][1]


def _is_read(node: ir.Node, slot: int) -> bool:
    return slot < len(node.outputs) and is_read(node.outputs[slot])


def _spatial(node: ir.Node) -> list[int] | None:
    """The spatial lengths of X, or None where one is unknown."""
    x = node.inputs[1]
    shape = [] if x is None or x.shape is None else list(x.shape)[2:]
    return [int(d) for d in shape] if shape and all(isinstance(d, int) for d in shape) else None  # type: ignore[arg-type]


def _left_over(node: ir.Node) -> list[int]:
    lengths, weight = _spatial(node) or [], node.inputs[2]
    if weight is None or weight.shape is None:
        raise ValueError(f"ConvGrad {node.name} lacks its weight's shape")
    kernel = [int(d) for d in list(weight.shape)[2:]]  # type: ignore[arg-type]
    axes = len(lengths)
    strides, dilations = ints_attribute(node, "strides", [1] * axes), ints_attribute(node, "dilations", [1] * axes)
    pads = ints_attribute(node, "pads", [0] * 2 * axes)
    reach = [(k - 1) * dilation + 1 for k, dilation in zip(kernel, dilations, strict=True)]
    padded = [length + before + after for length, before, after in zip(lengths, pads[:axes], pads[axes:], strict=True)]
    return [(length - one) % stride for length, one, stride in zip(padded, reach, strides, strict=True)]
