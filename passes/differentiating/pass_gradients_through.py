"""dW of a masked weight becomes the gradient of the masked weight, whole."""

import dataclasses

import onnx_ir as ir

from sparcl_compile.interface.names import mask_name
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import ACCUMULATING, MOVING, NUMBERED
from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.unmask import without_mask


@dataclasses.dataclass(frozen=True)
class PassGradientsThrough(Pass):
    """Give a pruned weight the gradient that it would have if it were kept: the straight-through estimator.

    1. A layer computes with ``W * W.mask``, whose gradient is the product of the next gradient and the mask. That
       product goes, and what it multiplies arrives at the accumulator: zeros of the mask stop no gradient.
    2. The layer itself stays masked, and so do the gradients of its input.
    3. A gradient that no mask multiplies is left alone, which makes the pass idempotent.

    Source: Bengio, Leonard and Courville, arXiv 1308.3432, 2013; for weights under N:M Zhou et al., ICLR 2021.
    """

    phase = Phase.DIFFERENTIATING
    needs = (NUMBERED, ACCUMULATING)
    before = (MOVING,)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Take the weight masks out of the gradients of a differentiated graph."""
        graph = model.graph
        inputs = {str(value.name): value for value in graph.inputs}
        found = []
        for weight in masked_layers(model):
            mask = inputs.get(mask_name(str(weight.name)))
            if mask is not None:
                found += [(use.node, mask) for use in mask.uses() if weight not in use.node.inputs]
        for node, mask in found:
            without_mask(graph, node, mask)
        return ir.passes.PassResult(model, bool(found))
