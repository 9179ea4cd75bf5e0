"""Whole stretches of the graph run with the batch as the innermost axis, as sparse convolutions do."""

import dataclasses

import onnx_ir as ir

from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import Names
from sparcl_compile.passes.core.facts import HELD, LOSS
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.operators import sparse_nodes
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.lowering.batch_last.fuse import fuse_norms
from sparcl_compile.passes.lowering.batch_last.minimum_cut import nodes_to_move
from sparcl_compile.passes.lowering.batch_last.mover import Mover
from sparcl_compile.passes.lowering.batch_last.rules import move
from sparcl_compile.passes.lowering.batch_last.tidy import drop_unread, share_conversions


@dataclasses.dataclass(frozen=True)
class LayOutBatchLast(Pass):
    """Move the Transposes around sparse operators outwards, on a forward graph in training form.

    1. The layout is [C, H, W, N]; a vector [N, C] is [C, 1, 1, N] in it. Sparse operators need it, and what lies
       between two of them would otherwise cost a Transpose each way, forward and backward.
    2. The nodes with a form in the layout that lie beside sparse operators take it where that lowers the number of
       elements that are transposed, or leaves it (``layout/cut.py``): more are never transposed than before.
    3. Elementwise operators stay what they are. What has no batch, biases above all, is reshaped to [C, 1, 1, 1].
    4. BatchNormalization in training form becomes ``sparcl.BatchNormTraining``, whose running statistics keep their
       names. It takes in a residual Add of the same shape and then a Relu, each where it is the only reader: one walk
       over the activation in place of three. Of two normalised branches the first takes the other as its addend.
    5. A dense 1x1 Conv without groups and padding becomes Slice (strides), Reshape, MatMul and Reshape: a product with
       the batch innermost is as fast as a Conv. Its weight stays [O, C, 1, 1] and is reshaped in the graph.
    6. GlobalAveragePool and ReduceMean over height and width become ReduceMean over axes 1 and 2; Concat takes the axis
       before its own. MaxPool becomes ``sparcl.MaxPoolBatchLast``.
    7. All other operators stay batch first: depthwise convolutions, what has no rule.
    8. An activation has one Transpose at most, and a Transpose and its inverse cancel.
    """

    phase = Phase.LOWERING
    needs = (HELD,)
    before = (LOSS,)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Move what pays; a graph without sparse operators is left alone."""
        graph = model.graph
        if not sparse_nodes(graph):
            return ir.passes.PassResult(model, False)
        nodes, names = nodes_to_move(graph), Names(graph)
        for node in nodes:
            move(Mover(Inserter(self.name, graph, names).before(node)))
        shared = share_conversions(graph)
        dropped = drop_unread(graph)
        fused = fuse_norms(graph)
        modified = bool(nodes) or shared or dropped or fused
        if modified:
            graph.sort()
        return ir.passes.PassResult(model, modified)
