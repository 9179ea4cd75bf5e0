"""Delete gradient work that nothing reads."""

import dataclasses

import onnx_ir as ir

from sparcl_compile.interface.names import gradient_mask_name, mask_name
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import is_read, maker_of
from sparcl_compile.passes.core.facts import DIFFERENTIATED, PRUNED
from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.operators import SPARSE_WEIGHT_GRADIENT
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.unused import remove_identities, remove_unused
from sparcl_compile.passes.core.values import Feeds


@dataclasses.dataclass(frozen=True)
class PruneBackward(Pass):
    """Remove backward work whose result is not needed.

    1. ``(dW * M) * G`` becomes ``dW * G``: a gradient mask is a subset of the weight mask, so the first product changes
       nothing. At 0/1 masks this is exact to the bit, and it saves a walk over the weights.
    2. The gradient of a compressed weight takes the gradient mask as an input and computes where it is on alone.
    3. Identity nodes of the gradient builder go.
    4. Nodes that no output needs go.
    5. ConvGrad leaves out an unread input gradient: that of the model's input, which was asked for where
       sparse operators are (rule 7 of ``differentiate_by_builder``).

    Rules 3 and 4 are onnx-ir's own passes (``unused.py``); onnx-ir >= 1.1.0 keeps BatchNormalization's training form.
    """

    phase = Phase.DIFFERENTIATING
    needs = (DIFFERENTIATED,)
    gives = (PRUNED,)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Prune a differentiated graph."""
        feeds, weights = Feeds(model.graph), [str(weight.name) for weight in masked_layers(model)]
        merged = [rule(model.graph, feeds, weight) for weight in weights for rule in (_merge_masks, _mask_sparse)]
        identities = remove_identities(model)
        unused = remove_unused(model)
        left_out = [_leave_out_input_gradient(node) for node in model.graph if node.op_type == "ConvGrad"]
        return ir.passes.PassResult(model, any((*merged, identities, unused, *left_out)))


def _leave_out_input_gradient(node: ir.Node) -> bool:
    gradient = node.outputs[0]
    if not gradient.name or is_read(gradient):
        return False
    gradient.name = ""
    return True


def _merge_masks(_: ir.Graph, feeds: Feeds, weight: str) -> bool:
    gradient_mask, mask = feeds.find(gradient_mask_name(weight)), feeds.find(mask_name(weight))
    if gradient_mask is None or mask is None:
        return False
    outer = next(usage.node for usage in gradient_mask.uses() if usage.node.op_type == "Mul")
    inner = maker_of(outer.inputs[0])
    if inner is None or inner.op_type != "Mul" or mask not in inner.inputs:
        return False
    raw = next(value for value in inner.inputs if value is not mask)
    outer.replace_input_with(0, raw)
    return True


def _mask_sparse(graph: ir.Graph, feeds: Feeds, weight: str) -> bool:
    mask = feeds.find(gradient_mask_name(weight))
    product = None if mask is None else next((u.node for u in mask.uses() if u.node.op_type == "Mul"), None)
    source = None if product is None else maker_of(product.inputs[0])
    if product is None or source is None or source.op_type != SPARSE_WEIGHT_GRADIENT:
        return False
    source.resize_inputs(len(source.inputs) + 1)
    source.replace_input_with(len(source.inputs) - 1, mask)
    product.outputs[0].replace_all_uses_with(source.outputs[0])
    graph.remove(product, safe=True)
    return True
