"""Masked weights become kept values with an index, and what reads them sparse operators."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.base import (
    COMPRESSED_KEY,
    MASKED_KEY,
    SPARSE_CONV,
    SPARSE_DOMAIN,
    Inserter,
    Pass,
    Role,
    constant,
    index_name,
    mask_name,
    masked_layers,
    rows_name,
    set_role,
)
from sparcl_compile.passes.channels.masking import data_of
from sparcl_compile.passes.compressing.expand import TRANSPOSED
from sparcl_compile.passes.compressing.forms import (
    Form,
    form_of,
    geometry,
    masked_product,
    only_reader,
    permuted,
    why_not,
    with_ones,
)
from sparcl_compile.passes.compression import compress


@dataclasses.dataclass(frozen=True)
class CompressWeights(Pass):
    """Store only the kept values of a masked weight, and compute only with them.

    1. ``W`` becomes float32 [K], its kept values in the order of the full weight; ``W.index`` int32 [K] says where they
       stand in it, flat and ascending, and ``W.rows`` int32 [O + 1] where each output channel begins. K is fixed: as
       many places as the schedule ever keeps. What a level does not use is padding behind ``rows[O]`` and inert.
    2. ``Conv(x, W * M)`` becomes ``SparseConv`` of the domain ``sparcl``, which takes the batch as the innermost axis
       (a kept weight is then one broadcast times one contiguous run); a Transpose stands in front and one behind.
       The bias is added behind it. Gemm and MatMul are convolutions of 1 x 1; a weight [I, O] is stored as [O, I].
    3. This is done on the forward graph, before differentiation: gradients, accumulators and optimizer state have K
       elements without a rule of their own, and the weight gradient is computed at kept places only.
    4. Left masked, with the reason in the weight's metadata: weights that several nodes read, convolutions with groups,
       a scaled Gemm, products with the weight in front, and readers whose sizes but the batch are not known; and what
       ``select_kernels`` has given a reason.
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
        product = masked_product(graph, weight)
        if product is None or MASKED_KEY in weight.metadata_props:
            return False
        reader = only_reader(product.outputs[0])
        reason = why_not(reader, product.outputs[0])
        if reader is None or reason:
            weight.metadata_props[MASKED_KEY] = reason
            return False
        form, mask = form_of(reader), graph.initializers[mask_name(name)]
        full, kept = form.stored(data_of(weight)), form.stored(data_of(mask))
        values, index, rows = compress(full, kept, self.places[name])
        weight.metadata_props[COMPRESSED_KEY] = TRANSPOSED if form.transposed else "rows"
        weight.const_value, weight.shape = ir.tensor(values, name=name), ir.Shape(values.shape)
        places = [
            set_role(constant(graph, made, data), Role.INDEX)
            for made, data in ((index_name(name), index), (rows_name(name), rows))
        ]
        self._replace(graph, reader, form, [weight, *places], full.shape)
        graph.remove([reader, product], safe=True)
        graph.initializers.pop(mask_name(name))
        return True

    def _replace(
        self, graph: ir.Graph, reader: ir.Node, form: Form, weight: list[ir.Value], shape: tuple[int, ...]
    ) -> None:
        x, y = reader.inputs[0], reader.outputs[0]
        add = Inserter(self, graph, reader)
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
        name, y.name = y.name, f"{y.name}.masked"
        y.replace_all_uses_with(back, replace_graph_outputs=True)
        back.name = name
