"""Sums of gradients inside the sparse operator that computes one of them."""

import dataclasses

import onnx_ir as ir

from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import kept_attributes
from sparcl_compile.passes.core.facts import DIFFERENTIATED, PRUNED
from sparcl_compile.passes.core.operators import SPARSE_DOMAIN, SPARSE_INPUT_GRADIENT
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.lowering.batch_last.forms import lengths_of

ADDEND = 4
"""The slot that a sum's other operand takes."""


@dataclasses.dataclass(frozen=True)
class AddInsideInputGradients(Pass):
    """Let the sparse input gradient start from the gradient that would be added to it.

    1. ``Sum(SparseConvInputGrad(dY, W), G)``, which stands wherever an activation has two readers (a residual branch),
       becomes ``SparseConvInputGrad(dY, W, G)``: the kernel's sums start from G instead of from 0. A tensor is read
       once, where three were read and two written; residual networks are bound by memory there.
    2. Only sums of two of the same shape, and only where the sum is the only reader. Of two sparse input gradients the
       later takes in the earlier.
    3. The operator moves to the place of the sum, where both of its gradients are there.
    """

    phase = Phase.DIFFERENTIATING
    needs = (DIFFERENTIATED, PRUNED)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fuse in a differentiated graph."""
        graph = model.graph
        sums = [node for node in graph if node.op_type == "Sum" and not node.domain and len(node.inputs) == 2]
        done = [self._fuse(graph, node, list(graph)) for node in sums]
        return ir.passes.PassResult(model, any(done))

    def _fuse(self, graph: ir.Graph, total: ir.Node, order: list[ir.Node]) -> bool:
        makers = [value.producer() for value in total.inputs if value is not None and _fits(value, total)]
        found = [node for node in makers if node is not None]
        if not found:
            return False
        gradient = max(found, key=order.index)
        other = next(value for value in total.inputs if value is not gradient.outputs[0])
        insert, inputs = self.inserter(graph).before(total), (*gradient.inputs, other)
        kept, name = kept_attributes(gradient), str(gradient.name)
        new = insert.node(SPARSE_INPUT_GRADIENT, *inputs, name=name, domain=SPARSE_DOMAIN, **kept)
        insert.replace(*new.outputs)
        graph.remove(gradient, safe=True)
        return True


def _fits(value: ir.Value, total: ir.Node) -> bool:
    node = value.producer()
    return (
        node is not None
        and (node.domain, node.op_type) == (SPARSE_DOMAIN, SPARSE_INPUT_GRADIENT)
        and len(node.inputs) <= ADDEND
        and len(list(value.uses())) == 1
        and not value.is_graph_output()
        and len(lengths_of(value)) == 4
        and all(lengths_of(value) == lengths_of(one) for one in total.inputs)
    )
