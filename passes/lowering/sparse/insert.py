"""Writes a sparse convolution in the place of the node that multiplies with a weight."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.operators import BLOCK, BLOCK_KEY, SPARSE_CONV, SPARSE_DOMAIN
from sparcl_compile.passes.core.values import constant
from sparcl_compile.passes.lowering.batch_last.forms import Length, lengths_of
from sparcl_compile.passes.lowering.sparse.activations import ENTER, LEAVE
from sparcl_compile.passes.lowering.sparse.forms import geometry

PLANES: Mapping[int, Callable[[list[Length]], list[Length]]] = {
    2: lambda lengths: [1, 1],
    3: lambda lengths: [1, lengths[1]],
    4: lambda lengths: lengths[2:],
}
"""Height and width of the reader's output [N, O], [N, T, O] or [N, O, Ho, Wo]."""


def insert_sparse(
    made_by: Pass,
    graph: ir.Graph,
    reader: ir.Node,
    weight: Sequence[ir.Value],
    shape: tuple[int, ...],
    blocks: bool,
) -> None:
    """Compute what ``reader`` gives by ``SparseConv`` with the batch innermost; the reader stays behind, unread.

    Args:
        made_by: the pass that asks.
        graph: of the reader.
        reader: a Conv, Gemm or MatMul that ``why_not`` finds nothing against.
        weight: the values, the index and the rows (docs/kernels.md).
        shape: of the full weight, [O, C, kh, kw].
        blocks: whether every four output channels keep the same places, which is faster.
    """
    x, y = reader.inputs[0], reader.outputs[0]
    assert x is not None
    insert, at = made_by.inserter(graph).before(reader), str(reader.name)
    rank = len(lengths_of(x))
    inside = ENTER[rank](insert, x)
    out = [shape[0], *PLANES[rank](lengths_of(y)), lengths_of(y)[0]]
    where = geometry(reader, shape) | ({BLOCK_KEY: BLOCK} if blocks else {})
    made = insert.op(SPARSE_CONV, inside, *weight, name=f"{at}.sparse", shape=out, domain=SPARSE_DOMAIN, **where)
    bias = reader.inputs[2] if len(reader.inputs) > 2 else None
    if bias is not None:
        column_axes = constant(graph, "compress.axes_bias", np.array([1, 2, 3], np.int64))
        column = insert.op("Unsqueeze", bias, column_axes, name=f"{at}.bias", shape=[shape[0], 1, 1, 1])
        made = insert.op("Add", made, column, name=f"{at}.biased", shape=out)
    back = LEAVE[rank](insert, made)
    back.shape = y.shape
    name, y.name = y.name, f"{y.name}.dense"
    y.replace_all_uses_with(back, replace_graph_outputs=True)
    back.name = name
    graph.opset_imports[SPARSE_DOMAIN] = 1
