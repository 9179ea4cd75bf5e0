"""ReLU gradients of standard operators that keep one byte a value."""

import dataclasses

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.analysis.liveness.chains import after_loss, backward_nodes, late_readers
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import float_attribute
from sparcl_compile.passes.core.facts import DIFFERENTIATED, MOVING, PRUNED
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.values import BOOL, FLOAT, INT64, constant
from sparcl_compile.passes.gradients.arithmetic import STEEP
from sparcl_compile.passes.gradients.gradient import FLOAT_TYPE


@dataclasses.dataclass(frozen=True)
class PackReluMasks(Pass):
    """Keep where a ReLU was positive instead of its output, when the backward needs nothing else of it.

    1. ``dY * HardSigmoid(Y)``, a ReLU's gradient, becomes ``dY * Cast(Y > 0)``: the output of the ReLU is kept for its
       own gradient at a byte a value instead of four. TinyTL (Cai et al., NeurIPS 2020) counts on this for networks
       whose weights are frozen. Equal to the bit. A Where would be one node instead of two, and takes six times as long
       (onnxruntime 1.19.2 and 1.32.0); the mask as numbers lives no longer than the product, which takes its memory.
    2. Only where nothing else in the backward reads Y. The gradient of a weight behind it does, so in full training
       nearly all outputs are kept anyway.
    3. ``dY`` is reshaped to the shape of the mask, which it has: ONNX Runtime computes the mask before ``dY`` then, so
       that Y goes, and makes numbers of it behind ``dY``. ``order_backward`` puts the three where that holds.
    """

    phase = Phase.DIFFERENTIATING
    needs = (DIFFERENTIATED, PRUNED)
    before = (MOVING,)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Pack the masks of a differentiated graph."""
        gradients, backward = after_loss(model.graph), backward_nodes(model.graph)
        products = [node for node in model.graph if node in gradients and _step_of(node) is not None]
        chosen = [node for node in products if len(late_readers(_activation(node), backward)) == 1]
        for node in chosen:
            self._pack(model.graph, node)
        return ir.passes.PassResult(model, bool(chosen))

    def _pack(self, graph: ir.Graph, product: ir.Node) -> None:
        step, activation, insert = _step_of(product), _activation(product), self.inserter(graph).before(product)
        zero = constant(graph, "relu.zero", np.array(0, np.float32))
        mask = insert.op("Greater", activation, zero, name=f"{product.name}.mask", like=activation, dtype=BOOL)
        passed = insert.op("Cast", mask, name=f"{product.name}.passed", like=activation, dtype=FLOAT, to=FLOAT_TYPE)
        shape = insert.op("Shape", mask, name=f"{product.name}.shape", shape=[len(activation.shape or ())], dtype=INT64)
        upstream = insert.op("Reshape", product.inputs[0], shape, name=f"{product.name}.upstream", like=activation)
        product.replace_input_with(0, upstream)
        product.replace_input_with(1, passed)
        graph.remove(step, safe=True)  # type: ignore[arg-type]


def _step_of(product: ir.Node) -> ir.Node | None:
    """The step that the gradient of a ReLU is multiplied by, which nothing else reads; None for any other node."""
    step = product.inputs[1].producer() if product.op_type == "Mul" and product.inputs[1] is not None else None
    if step is None or step.op_type != "HardSigmoid" or len(list(step.outputs[0].uses())) != 1:
        return None
    return step if float_attribute(step, "alpha", 0.2) == np.float32(STEEP) else None


def _activation(product: ir.Node) -> ir.Value:
    step = _step_of(product)
    value = None if step is None else step.inputs[0]
    if value is None:
        raise ValueError(f"{product.name} is no gradient of a ReLU")
    return value
