"""Masked weights become kept values with an index, and what reads them sparse operators."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.base import (
    FLOAT,
    SPARSE_CONV,
    SPARSE_DOMAIN,
    Pass,
    Role,
    constant,
    dims,
    index_name,
    mask_name,
    masked_layers,
    rows_name,
    set_role,
)
from sparcl_compile.passes.channels.masking import data_of
from sparcl_compile.passes.compression import compress
from sparcl_compile.passes.importing.edit import int_attribute, ints_attribute

INT32 = ir.TensorType(ir.DataType.INT32)
BATCH_LAST, BATCH_FIRST = (1, 2, 3, 0), (3, 0, 1, 2)
SHAPE_KEY = "sparcl.shape"
COMPRESSED_KEY = "sparcl.compressed"


@dataclasses.dataclass(frozen=True)
class CompressWeights(Pass):
    """Store only the kept values of a masked weight, and compute only with them.

    1. ``W`` becomes float32 [K], its kept values in the order of the full weight; ``W.index`` int32 [K] says where they
       stand in it, flat and ascending, and ``W.rows`` int32 [O + 1] where each output channel begins. K is fixed: as
       many places as the schedule ever keeps. What a level does not use is padding behind ``rows[O]`` and inert.
    2. ``Conv(x, W * M)`` becomes ``SparseConv`` of the domain ``sparcl``, which takes the batch as the innermost axis
       (a kept weight is then one broadcast times one contiguous run); a Transpose stands in front and one behind.
       The bias is added behind it.
    3. This is done on the forward graph, before differentiation: gradients, accumulators and optimizer state have K
       elements without a rule of their own, and the weight gradient is computed at kept places only.
    4. Left masked, with the reason in the weight's metadata: weights that several nodes read, convolutions with groups
       or without static spatial sizes, and weights of Gemm and MatMul.
    5. A weight that is compressed has no mask, and is left alone.

    Options:
        places: K of each weight; a weight that is missing stays masked.
    """

    places: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Compress what can be."""
        done = [self._compress(model, weight) for weight in masked_layers(model) if str(weight.name) in self.places]
        if any(done):
            model.opset_imports[SPARSE_DOMAIN] = 1
        return ir.passes.PassResult(model, any(done))

    def _compress(self, model: ir.Model, weight: ir.Value) -> bool:
        graph, name = model.graph, str(weight.name)
        mask = graph.initializers.get(mask_name(name))
        if mask is None:
            return False
        product = next(iter(mask.uses())).node
        reason, conv = _reader(product.outputs[0])
        if conv is None:
            weight.metadata_props[COMPRESSED_KEY] = reason
            return False
        shape = dims(weight)
        values, index, rows = compress(data_of(weight), data_of(mask), self.places[name])
        weight.metadata_props[SHAPE_KEY] = ",".join(map(str, shape))
        weight.const_value, weight.shape = ir.tensor(values, name=name), ir.Shape(values.shape)
        places = [
            set_role(constant(graph, made, data), Role.INDEX)
            for made, data in ((index_name(name), index), (rows_name(name), rows))
        ]
        self._replace(graph, conv, [weight, *places], shape)
        graph.remove([conv, product], safe=True)
        graph.initializers.pop(mask_name(name))
        return True

    def _replace(self, graph: ir.Graph, conv: ir.Node, weight: list[ir.Value], shape: list[int]) -> None:
        x, y = conv.inputs[0], conv.outputs[0]
        inside = self._insert(graph, conv, "Transpose", [x], "batch_last", _permuted(x, BATCH_LAST), perm=BATCH_LAST)
        made = self._insert(
            graph, conv, SPARSE_CONV, [inside, *weight], "sparse", _permuted(y, BATCH_LAST), **_geometry(conv, shape)
        )
        bias = conv.inputs[2] if len(conv.inputs) > 2 else None
        if bias is not None:
            axes = constant(graph, "compress.axes", np.array([1, 2, 3], np.int64))
            column = self._insert(graph, conv, "Unsqueeze", [bias, axes], "bias", [shape[0], 1, 1, 1])
            made = self._insert(graph, conv, "Add", [made, column], "biased", _permuted(y, BATCH_LAST))
        back = self._insert(graph, conv, "Transpose", [made], "batch_first", y.shape, perm=BATCH_FIRST)
        name, y.name = y.name, f"{y.name}.masked"
        y.replace_all_uses_with(back, replace_graph_outputs=True)
        back.name = name

    def _insert(
        self,
        graph: ir.Graph,
        anchor: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        part: str,
        shape: Sequence[int | ir.SymbolicDim] | ir.Shape | None,
        **attributes: Sequence[int] | int,
    ) -> ir.Value:
        node = self.node(
            op_type,
            list(inputs),
            attributes=attributes or None,
            domain=SPARSE_DOMAIN if op_type == SPARSE_CONV else "",
            name=f"{anchor.name}.{part}",
        )
        out = node.outputs[0]
        out.name, out.shape, out.type = f"{anchor.name}.{part}", ir.Shape(shape or ()), FLOAT
        graph.insert_before(anchor, node)
        return out


def _reader(masked: ir.Value) -> tuple[str, ir.Node | None]:
    """The one convolution that reads a masked weight, or why it stays masked and None."""
    readers = [usage.node for usage in masked.uses()]
    if len(readers) > 1:
        return "several nodes read it", None
    conv = readers[0]
    if conv.op_type != "Conv":
        return f"{conv.op_type} has no sparse form yet", None
    if int_attribute(conv, "group", 1) != 1:
        return "a convolution with groups", None
    if any(not _is_plane(value) for value in (conv.inputs[0], conv.outputs[0])):
        return "the height and width are not known", None
    return "", conv


def _is_plane(value: ir.Value | None) -> bool:
    shape = None if value is None else value.shape
    return shape is not None and len(shape) == 4 and all(isinstance(d, int) for d in list(shape)[1:])


def _permuted(value: ir.Value | None, order: Sequence[int]) -> list[int | ir.SymbolicDim]:
    if value is None or value.shape is None:
        raise ValueError("a convolution without shapes")
    return [value.shape[axis] for axis in order]


def _geometry(conv: ir.Node, shape: Sequence[int]) -> dict[str, Sequence[int] | int]:
    return {
        "channels": shape[1],
        "kernel_shape": list(shape[2:]),
        "strides": ints_attribute(conv, "strides", (1, 1)),
        "pads": ints_attribute(conv, "pads", (0, 0, 0, 0)),
        "dilations": ints_attribute(conv, "dilations", (1, 1)),
    }
