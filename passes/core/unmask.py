"""Taking a mask out of a graph."""

import onnx_ir as ir

from sparcl_compile.passes.core.operators import SPARSE_WEIGHT_GRADIENT


def without_mask(graph: ir.Graph, reader: ir.Node, mask: ir.Value) -> None:
    """Let the readers of a product with a mask read what it multiplies; a sparse gradient then has no mask."""
    if reader.op_type == SPARSE_WEIGHT_GRADIENT:
        slot = reader.inputs.index(mask)
        reader.replace_input_with(slot, None)
        if slot + 1 == len(reader.inputs):
            reader.resize_inputs(slot)
        return
    product = reader.outputs[0]
    whole = next(value for value in reader.inputs if value is not None and value is not mask)
    product.replace_all_uses_with(whole)
    graph.remove(reader, safe=True)
