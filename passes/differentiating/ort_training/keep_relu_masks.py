"""ReLU gradients that keep one byte a value."""

import dataclasses

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.analysis.liveness.chains import after_loss, late_readers
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import DIFFERENTIATED, PRUNED, STEPPED
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.values import BOOL, constant

NEARLY_ZERO = 1e-30
"""A dropout ratio r with 1 - r = 1 in float32. At 0 ONNX Runtime's kernel does not look at the mask."""
DOMAIN = "com.microsoft"


@dataclasses.dataclass(frozen=True)
class KeepReluMasks(Pass):
    """Keep where a ReLU was positive instead of its output, when the backward needs nothing else of it.

    1. ``ReluGrad(dY, Y)`` becomes ``DropoutGrad(dY, Y > 0)``: the output of a ReLU (or its input, which the gradient
       builder sometimes takes) is kept for its own gradient at a byte a value instead of four. TinyTL (Cai et al.,
       NeurIPS 2020) counts on this for networks whose weights are frozen. Equal to the bit; ONNX Runtime has no other
       operator that takes a gradient and a mask of bytes without making a tensor of floats of the mask first.
    2. Only where nothing else in the backward reads Y. The gradient of a weight behind it does, so in full training
       nearly all outputs are kept anyway.
    3. The mask stands right before the gradient in the file: ONNX Runtime computes of two inputs the younger one first,
       so the mask is there as soon as Y is, and Y goes.
    """

    phase = Phase.DIFFERENTIATING
    needs = (DIFFERENTIATED, PRUNED)
    before = (STEPPED,)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Replace the gradients of a differentiated graph."""
        backward = after_loss(model.graph)
        nodes = [node for node in backward if node.op_type == "ReluGrad"]
        chosen = [node for node in nodes if len(late_readers(_activation(node), backward)) == 1]
        for node in chosen:
            self._replace(model.graph, node)
        return ir.passes.PassResult(model, bool(chosen))

    def _replace(self, graph: ir.Graph, node: ir.Node) -> None:
        gradient, activation, insert = node.inputs[0], _activation(node), self.inserter(graph).before(node)
        zero = constant(graph, "relu.zero", np.array(0, np.float32))
        mask = insert.op(
            "Greater",
            activation,
            zero,
            name=f"{node.outputs[0].name}.mask",
            like=activation,
            dtype=BOOL,
            node_name=f"{node.name}.mask",
        )
        ratio = constant(graph, "relu.ratio", np.array(NEARLY_ZERO, np.float32))
        training = constant(graph, "relu.training", np.array(True))
        product = insert.node(
            "DropoutGrad", gradient, mask, ratio, training, domain=DOMAIN, name=f"{node.name}.product"
        )
        insert.replace(*product.outputs)


def _activation(node: ir.Node) -> ir.Value:
    value = node.inputs[1]
    if value is None:
        raise ValueError(f"ReluGrad {node.name} lacks its activation")
    return value
