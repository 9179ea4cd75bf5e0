"""Dense convolutions become sparse ones that keep every place."""

import dataclasses
import math

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import HELD, LOSS, NUMBERED
from sparcl_compile.passes.core.operators import sparse_nodes
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import TRAINABLE, role_of, values_with_role
from sparcl_compile.passes.core.values import constant, dims
from sparcl_compile.passes.lowering.sparse.forms import only_reader, why_not
from sparcl_compile.passes.lowering.sparse.insert import insert_sparse


@dataclasses.dataclass(frozen=True)
class RunDenseOnSparseKernels(Pass):
    """Compute dense convolutions with the sparse kernels too, on the forward graph beside ``compress_weights``.

    1. ``Conv(x, W)`` becomes ``SparseConv`` with an index of all places. The weight stays [O, C, kh, kw], a parameter
       like any other: the graph reshapes it, index and rows are constants. All output channels keep the same places,
       so the kernels take them in blocks.
    2. Reason: with the batch innermost a step of a dense convolution takes less time than ONNX Runtime's, of which the
       input gradient is the slowest part, and least with few channels (docs/kernels.md, "Dense layers"); and an
       activation between it and a sparse neighbour needs no Transpose.
    3. Convolutions of 1 x 1 are left to ``lay_out_batch_last``, which makes a product of matrices of them; those with
       groups, those that read a mask, and what ``compress_weights`` could not write either, to ONNX Runtime.
    4. Where layers are masked and none of them was compressed, the dense kernels are the faster ones, and all stays.
    5. A weight that is read through an index is no initializer any more where the convolution reads it: nothing is
       done twice.
    """

    phase = Phase.LOWERING
    needs = (HELD, NUMBERED)
    before = (LOSS,)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Write what can be written."""
        graph = model.graph
        if any(values_with_role(model, Role.MASK)) and not sparse_nodes(graph):
            return ir.passes.PassResult(model, False)
        chosen = [node for node in graph if node.op_type == "Conv" and _is_dense(node)]
        for node in chosen:
            self._write(graph, node)
        return ir.passes.PassResult(model, bool(chosen))

    def _write(self, graph: ir.Graph, node: ir.Node) -> None:
        weight = node.inputs[1]
        assert weight is not None
        shape, name = tuple(dims(weight)), str(weight.name)
        size = math.prod(shape)
        flat = constant(graph, "every_place.flat", np.array([-1], np.int64))
        insert = self.inserter(graph).before(node)
        values = insert.op("Reshape", weight, flat, name=f"{node.name}.values", shape=[size])
        index = constant(graph, f"{name}.every_place", np.arange(size, dtype=np.int32))
        rows = constant(graph, f"{name}.every_row", np.arange(0, size + 1, size // shape[0], dtype=np.int32))
        insert_sparse(self, graph, node, [values, index, rows], shape, blocks=True)
        graph.remove(node, safe=True)


def _is_dense(node: ir.Node) -> bool:
    weight = node.inputs[1]
    if weight is None or role_of(weight) not in TRAINABLE:
        return False
    return max(dims(weight)[2:]) > 1 and not why_not(only_reader(weight), weight)
