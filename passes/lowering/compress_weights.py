"""Masked weights become kept values with an index, and what reads them sparse operators."""

import dataclasses
from collections.abc import Mapping

import onnx_ir as ir

from sparcl_compile.interface.names import Role, index_name, mask_name, rows_name
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import HELD, LOSS, NUMBERED
from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.marks import COMPRESSED_KEY, MASKED_KEY
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import set_role
from sparcl_compile.passes.core.values import constant, data_of
from sparcl_compile.passes.lowering.sparse.expand import TRANSPOSED
from sparcl_compile.passes.lowering.sparse.forms import (
    is_transposed,
    kept_places,
    masked_product,
    only_reader,
    stored,
    why_not,
)
from sparcl_compile.passes.lowering.sparse.insert import insert_sparse
from sparcl_compile.passes.schemes.compressed import compress
from sparcl_compile.passes.schemes.names import BLOCK4X1


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
    5. Under the scheme ``block4x1`` the operator is told that four output channels keep the same places: its kernels
       then load an activation once for the four of them.
    6. A weight that is compressed has no mask, and is left alone.

    Options:
        places: K of each weight; a weight that is missing stays masked. None takes as many as each mask keeps, which
            leaves no room for masks that grow.
        scheme: of the masks.
    """

    phase = Phase.LOWERING
    needs = (HELD, NUMBERED)
    before = (LOSS,)

    places: Mapping[str, int] | None = None
    scheme: str = "unstructured"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Compress what can be."""
        places = kept_places(model) if self.places is None else self.places
        wanted = [weight for weight in masked_layers(model) if str(weight.name) in places]
        done = [self._compress(model, weight, places[str(weight.name)]) for weight in wanted]
        return ir.passes.PassResult(model, any(done))

    def _compress(self, model: ir.Model, weight: ir.Value, size: int) -> bool:
        graph, name = model.graph, str(weight.name)
        product = masked_product(graph, weight)
        if product is None or MASKED_KEY in weight.metadata_props:
            return False
        reader = only_reader(product.outputs[0])
        reason = why_not(reader, product.outputs[0])
        if reader is None or reason:
            weight.metadata_props[MASKED_KEY] = reason
            return False
        transposed, mask = is_transposed(reader), graph.initializers[mask_name(name)]
        full, kept = (stored(data_of(tensor), transposed) for tensor in (weight, mask))
        values, index, rows = compress(full, kept, size)
        weight.metadata_props[COMPRESSED_KEY] = TRANSPOSED if transposed else "rows"
        weight.const_value, weight.shape = ir.tensor(values, name=name), ir.Shape(values.shape)
        places = [
            set_role(constant(graph, made, data), Role.INDEX)
            for made, data in ((index_name(name), index), (rows_name(name), rows))
        ]
        insert_sparse(self, graph, reader, [weight, *places], full.shape, blocks=self.scheme == BLOCK4X1)
        graph.remove([reader, product], safe=True)
        graph.initializers.pop(mask_name(name))
        return True
