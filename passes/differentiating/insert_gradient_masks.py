"""dW becomes dW * G in front of the accumulator."""

import dataclasses

import onnx_ir as ir

from sparcl_compile.interface.names import Role, accumulator_name, gradient_mask_name
from sparcl_compile.passes.core.accumulation import GRADIENT, accumulations
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import ACCUMULATING, MOVING, NUMBERED
from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import set_role
from sparcl_compile.passes.core.values import Feeds


@dataclasses.dataclass(frozen=True)
class InsertGradientMasks(Pass):
    """Multiply the gradient of every maskable weight by its gradient mask (DGM, SparCL section 3.4).

    1. The product stands between the gradient and its accumulator, so that what is accumulated over micro-steps is
       already masked and the optimizer needs no mask for plain SGD.
    2. ``W.gradient_mask`` is a graph input of W's shape, 0/1 in float32, always a subset of ``W.mask``.
    3. With gradient sparsity 0 nothing is inserted.
    4. A gradient that is already masked is left alone.

    Options:
        gradient_sparsity: share of a layer's gradients that is not used, in [0, 1).
    """

    phase = Phase.DIFFERENTIATING
    needs = (NUMBERED, ACCUMULATING)
    before = (MOVING,)

    gradient_sparsity: float = 0.8

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Insert the gradient masks into a differentiated graph."""
        if self.gradient_sparsity == 0.0:
            return ir.passes.PassResult(model, False)
        present = {value.name for value in model.graph.inputs}
        todo = [w for w in masked_layers(model) if gradient_mask_name(str(w.name)) not in present]
        feeds, adders = Feeds(model.graph), accumulations(model.graph)
        for weight in todo:
            buffer = feeds.find(accumulator_name(str(weight.name)))
            if buffer is None:
                raise ValueError(f"the graph has no accumulator for {weight.name}")
            self._insert(model.graph, feeds, weight, adders[buffer])
        return ir.passes.PassResult(model, bool(todo))

    def _insert(self, graph: ir.Graph, feeds: Feeds, weight: ir.Value, accumulate: ir.Node) -> None:
        name = str(weight.name)
        gradient = accumulate.inputs[GRADIENT]
        shape = [d for d in weight.shape or () if isinstance(d, int)]
        mask = set_role(feeds(gradient_mask_name(name), shape), Role.GRADIENT_MASK)
        insert = self.inserter(graph).before(accumulate)
        masked = f"{name}_grad.masked"
        product = insert.op("Mul", gradient, mask, name=masked, like=weight, node_name=f"{name}.mask_gradient")
        accumulate.replace_input_with(GRADIENT, product)
