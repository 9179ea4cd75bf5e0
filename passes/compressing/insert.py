"""Writes a sparse convolution in the place of the node that multiplies with a weight."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.base import SPARSE_CONV, SPARSE_DOMAIN, Inserter, Pass, constant
from sparcl_compile.passes.compressing.forms import Form, geometry, permuted, with_ones


def insert_sparse(
    made_by: Pass,
    graph: ir.Graph,
    reader: ir.Node,
    form: Form,
    weight: Sequence[ir.Value],
    shape: tuple[int, ...],
) -> None:
    """Compute what ``reader`` gives by ``SparseConv`` between two Transposes; the reader stays behind, unread.

    Args:
        made_by: the pass that asks.
        graph: of the reader.
        reader: a Conv, Gemm or MatMul that ``why_not`` finds nothing against.
        form: its input's way into [C, H, W, N].
        weight: the values, the index and the rows (docs/kernels.md).
        shape: of the full weight, [O, C, kh, kw].
    """
    x, y = reader.inputs[0], reader.outputs[0]
    add = Inserter(made_by, graph, reader)
    inside = add("batch_last", "Transpose", [x], permuted(x, form.batch_last), perm=form.batch_last)
    outside = permuted(y, form.batch_last)
    if form.axes:
        axes = constant(graph, f"compress.axes_{len(form.axes)}", np.array(form.axes, np.int64))
        inside = add("plane", "Unsqueeze", [inside, axes], with_ones(inside, form.axes))
    plane = [*outside[:1], *[1] * len(form.axes), *outside[1:]]
    made = add("sparse", SPARSE_CONV, [inside, *weight], plane, SPARSE_DOMAIN, **geometry(reader, shape))
    bias = reader.inputs[2] if len(reader.inputs) > 2 else None
    if bias is not None:
        column_axes = constant(graph, "compress.axes_bias", np.array([1, 2, 3], np.int64))
        column = add("bias", "Unsqueeze", [bias, column_axes], [shape[0], 1, 1, 1])
        made = add("biased", "Add", [made, column], plane)
    if form.axes:
        made = add("flat", "Squeeze", [made, axes], outside)
    back = add("batch_first", "Transpose", [made], list(y.shape or ()), perm=form.batch_first)
    name, y.name = y.name, f"{y.name}.dense"
    y.replace_all_uses_with(back, replace_graph_outputs=True)
    back.name = name
    graph.opset_imports[SPARSE_DOMAIN] = 1
