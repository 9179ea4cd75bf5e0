"""Gradients of all weights of a compressed layer, as if each had a place."""

import math
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import accumulator_name, gradient_mask_name, index_name, rows_name
from sparcl_compile.passes.core.accumulation import accumulations
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import int_attribute, ints_attribute
from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.operators import BLOCK, BLOCK_KEY, SPARSE_WEIGHT_GRADIENT
from sparcl_compile.passes.core.unmask import without_mask
from sparcl_compile.passes.core.values import constant, dims

INT32 = ir.TensorType(ir.DataType.INT32)
INDEX, ROWS = 2, 3
"""Inputs of the operator that gives the gradient of a compressed weight."""


def measure_all_places(made_by: Pass, model: ir.Model) -> None:
    """Let a training graph that stores gradients give those of all weights of compressed layers, in place.

    1. Forward pass and input gradients stay as they are: a weight without a place is 0.
    2. The weight gradient is computed at all places of the full weight, whatever the gradient mask chooses. All output
       channels keep the same places then, so that the kernels take them in blocks. The accumulator has an element for
       each weight, in the order of the places.
    3. The index of all places is made while the graph runs, from the first of the rows, which is 0: a constant would be
       as large as the full weight, in the file and in the session as long as it lives.
    """
    inputs = {str(value.name): value for value in model.graph.inputs}
    adders = accumulations(model.graph)
    for weight in masked_layers(model):
        name = str(weight.name)
        if index_name(name) in inputs:
            node = _keep_all_places(made_by, model.graph, inputs, name)
            buffer = inputs[accumulator_name(name)]
            _resize(buffer, adders[buffer], dims(node.outputs[0]))


def _keep_all_places(made_by: Pass, graph: ir.Graph, inputs: Mapping[str, ir.Value], weight: str) -> ir.Node:
    index, rows = inputs[index_name(weight)], inputs[rows_name(weight)]
    node = next(usage.node for usage in index.uses() if usage.node.op_type == SPARSE_WEIGHT_GRADIENT)
    if chosen := inputs.get(gradient_mask_name(weight)):
        without_mask(graph, node, chosen)
    outputs = dims(rows)[0] - 1
    each = int_attribute(node, "channels", 0) * math.prod(ints_attribute(node, "kernel_shape", ()))
    size, every_row = outputs * each, np.arange(0, outputs * each + 1, each, dtype=np.int32)
    insert = made_by.inserter(graph).before(node)
    first = constant(graph, "all_places.first", np.array(0, np.int64))
    start = insert.op("Gather", rows, first, name=f"{weight}.first_place", shape=[], dtype=INT32)
    ends = [constant(graph, f"all_places.{number}", np.array(number, np.int32)) for number in (size, 1)]
    every = insert.op("Range", start, *ends, name=f"{weight}.all_places", shape=[size], dtype=INT32)
    node.replace_input_with(INDEX, every)
    node.replace_input_with(ROWS, constant(graph, f"{weight}.all_rows", every_row))
    node.attributes[BLOCK_KEY] = ir.AttrInt64(BLOCK_KEY, BLOCK)
    node.outputs[0].shape = ir.Shape([size])
    return node


def _resize(buffer: ir.Value, adder: ir.Node, shape: list[int]) -> None:
    """Give the accumulator and the sums that are computed from it this shape, but no flag that says they are there."""
    sums = [out for node in (adder, *(usage.node for usage in buffer.uses())) for out in node.outputs]
    for value in (buffer, *(one for one in sums if one.dtype is buffer.dtype)):
        value.shape = ir.Shape(shape)
