"""The masked graph on compressed weights, in standard operators: for evaluation where no sparse kernels are."""

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role, index_name, mask_name
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.marks import COMPRESSED_KEY
from sparcl_compile.passes.core.roles import set_role
from sparcl_compile.passes.core.values import constant, dims

TRANSPOSED = "transposed"


def expanded(made_by: Pass, masked: ir.Model, compressed: ir.Model) -> ir.Model:
    """A copy of the masked graph that reads the compressed form of the weights and scatters it into their full shapes.

    Args:
        made_by: the pass whose nodes these are.
        masked: the graph before ``compress_weights``.
        compressed: the graph after it.
    """
    model = masked.clone()
    stored = compressed.graph.initializers
    for weight in masked_layers(model):
        if index_name(str(weight.name)) in stored:
            _expand(made_by, model.graph, weight, compressed.graph)
    return model


def _expand(made_by: Pass, graph: ir.Graph, weight: ir.Value, compressed: ir.Graph) -> None:
    name = str(weight.name)
    source, index = compressed.initializers[name], compressed.initializers[index_name(name)]
    transposed = source.metadata_props[COMPRESSED_KEY] == TRANSPOSED
    shape = dims(weight)
    product = next(iter(graph.initializers[mask_name(name)].uses())).node
    insert, at = made_by.inserter(graph).before(product), str(product.name)
    size = int(np.prod(shape))
    length = constant(graph, f"{name}.size", np.array([size], np.int64))
    zero = constant(graph, "expand.zero", np.array(0.0, np.float32))
    zeros = insert.op("Expand", zero, length, name=f"{at}.zeros", shape=[size])
    data = None if index.const_value is None else index.const_value.numpy()
    places = set_role(constant(graph, index_name(name), np.asarray(data)), Role.INDEX)
    # Padding adds its 0 to the first element.
    inputs = (zeros, places, weight)
    full = insert.op("ScatterElements", *inputs, name=f"{at}.scattered", shape=[size], reduction="add")
    stored_shape = shape[::-1] if transposed else shape
    target = constant(graph, f"{name}.shape", np.array(stored_shape, np.int64))
    full = insert.op("Reshape", full, target, name=f"{at}.full", shape=stored_shape)
    if transposed:
        full = insert.op("Transpose", full, name=f"{at}.columns", shape=shape, perm=(1, 0))
    product.outputs[0].replace_all_uses_with(full, replace_graph_outputs=True)
    graph.remove(product, safe=True)
    graph.initializers.pop(mask_name(name))
    weight.const_value, weight.shape = source.const_value, source.shape
