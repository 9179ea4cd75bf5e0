"""Weight gradients of the chosen output channels only."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role, gradient_mask_name, gradient_rows_name
from sparcl_compile.passes.analysis.channels.plan import plan_of
from sparcl_compile.passes.analysis.rows import kept_rows, output_axes
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import int_attribute, kept_attributes
from sparcl_compile.passes.core.facts import DIFFERENTIATED, GRADIENTS_MASKED, MOVING, PRUNED
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.missing_shapes import state_shapes
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import set_role
from sparcl_compile.passes.core.unused import remove_unused
from sparcl_compile.passes.core.values import FLOAT, INT64, Feeds, constant, dims
from sparcl_compile.passes.updating.row_products import FIRST, RowProducts, can_follow

PRODUCTS = ("Gemm", "MatMul", "FusedMatMul")


@dataclasses.dataclass(frozen=True)
class ComputeGradientRows(Pass):
    """Compute only those rows of dW that the gradient mask lets through (DGM with ``--gradient-scheme channel``).

    1. ``W.gradient_rows`` is a graph input, int64 [K], ascending: the output channels of W that are updated,
       ``K = max(1, floor((1 - q) * O + 0.5))`` of O, or what folding has left where that is less. O is counted before
       folding, which the graph's ``ChannelPlan`` holds. ``update_gradient_masks`` makes it together with the mask.
    2. ``ConvGrad(dY, X, W) -> dX, dW, dB`` keeps dX and dB; dW comes from a second ConvGrad on the chosen channels of
       dY and of W. ORT's kernel does the two matrix products one after the other anyway, so nothing is computed twice.
    3. A dW that is a matrix product is the product of the chosen rows or columns of its operand on that side. So is one
       that is put together from products by operators that leave the rows where they are (``row_products.py``).
    4. The rows go to their places in a tensor of W's shape by one Gather from the rows and a row of zeros: faster than
       a scatter into zeros, and no zeros of W's size are held. The gradient mask is multiplied on as before, since a
       chosen channel has pruned weights.
    5. Left whole, with the mask alone: convolutions with groups (a group's rows of dY meet its own channels of X only,
       so chosen channels would need another convolution for each group), weights that several nodes read, and
       gradients that come from anything else than one ConvGrad or one product of matrices.
    6. A weight that has its rows is left alone.

    Options:
        gradient_sparsity: share of a layer's channels without a gradient, in (0, 1).
    """

    phase = Phase.UPDATING
    needs = (DIFFERENTIATED, GRADIENTS_MASKED, PRUNED)
    before = (MOVING,)

    gradient_sparsity: float = 0.8

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Cut the gradients of a pruned training graph."""
        axes, plan, feeds = output_axes(model.graph), plan_of(model), Feeds(model.graph)
        full = {} if plan is None else plan.shapes
        done = [
            self._cut(model.graph, weight, feeds, axes.get(str(weight.name)), full) for weight in masked_layers(model)
        ]
        if any(done):
            remove_unused(model)
            state_shapes(model)
        return ir.passes.PassResult(model, any(done))

    def _cut(
        self,
        graph: ir.Graph,
        weight: ir.Value,
        feeds: Feeds,
        axis: int | None,
        full: Mapping[str, Sequence[int]],
    ) -> bool:
        name = str(weight.name)
        mask = feeds.find(gradient_mask_name(name))
        if mask is None or axis is None or feeds.find(gradient_rows_name(name)) is not None:
            return False
        product = next(iter(mask.uses())).node
        gradient = product.inputs[0]
        source = None if gradient is None else gradient.producer()
        channels = dims(weight)[axis]
        kept = kept_rows(full.get(name, dims(weight))[axis], self.gradient_sparsity)
        if gradient is None or source is None or kept >= channels:
            return False
        by_products = axis == FIRST and len(list(gradient.uses())) == 1 and can_follow(gradient, channels)
        if not by_products and not _can_cut(source, gradient, axis):
            return False
        rows = set_role(feeds(gradient_rows_name(name), [kept], INT64), Role.GRADIENT_ROWS)
        chosen = _Rows(self.inserter(graph), source, weight, axis)
        part = chosen.of_products(rows, gradient) if by_products else chosen.gradient(rows)
        product.replace_input_with(0, chosen.spread(part, rows))
        if not by_products:
            chosen.drop(gradient)
        return True


class _Rows:
    """Inserts the nodes of one weight's gradient rows behind the node that computes the whole gradient."""

    def __init__(self, insert: Inserter, source: ir.Node, weight: ir.Value, axis: int) -> None:
        self._insert, self._source = insert.behind(source), source
        self._name, self._shape, self._axis = str(weight.name), dims(weight), axis

    def of_products(self, rows: ir.Value, gradient: ir.Value) -> ir.Value:
        """The chosen rows of a gradient that products of matrices give."""
        return RowProducts(self._insert, rows, self._shape[FIRST], dims(rows)[0]).of(gradient)

    def gradient(self, rows: ir.Value) -> ir.Value:
        """The gradient of the chosen rows."""
        inputs = self._of_conv(rows) if self._source.op_type == "ConvGrad" else self._of_product(rows)
        kept, name = kept_attributes(self._source), f"{self._name}.row_gradient"
        outputs = 2 if self._source.op_type == "ConvGrad" else 1
        node = self._insert.node(
            self._source.op_type, *inputs, name=name, domain=self._source.domain, outputs=outputs, **kept
        )
        for unread in node.outputs[:-1]:
            unread.name = ""
        out = node.outputs[-1]
        out.name, out.shape, out.type = f"{self._name}_grad.rows", ir.Shape(self._with_length(dims(rows)[0])), FLOAT
        return out

    def _of_conv(self, rows: ir.Value) -> list[ir.Value | None]:
        """The inputs of a ConvGrad of the chosen filters."""
        gradient, x, weight = self._source.inputs[:3]
        return [self._gather("upstream", gradient, rows, 1), x, self._gather("filters", weight, rows, 0)]

    def _of_product(self, rows: ir.Value) -> list[ir.Value | None]:
        """The inputs of a product with the chosen part of the operand on the side of the rows."""
        inputs, axis = list(self._source.inputs), self._axis
        across = int_attribute(self._source, ("transA", "transB")[axis], 0)
        inputs[axis] = self._gather("operand", inputs[axis], rows, 1 - axis if across else axis)
        return inputs

    def spread(self, part: ir.Value, rows: ir.Value) -> ir.Value:
        """The rows at their places in a tensor of the weight's shape that is zero elsewhere."""
        graph, axis, kept, channels = self._insert.graph, self._axis, dims(rows)[0], self._shape[self._axis]
        nowhere = constant(graph, f"rows.nowhere_{channels}_{kept}", np.full(channels, kept, np.int64))
        numbers = constant(graph, f"rows.numbers_{kept}", np.arange(kept, dtype=np.int64))
        one_more = constant(graph, "rows.one_more", np.array([0, 1], np.int64))
        along = constant(graph, f"rows.axis_{axis}", np.array([axis], np.int64))
        places = self._insert.op(
            "ScatterElements",
            nowhere,
            rows,
            numbers,
            name=f"{self._name}_grad.places",
            shape=[channels],
            dtype=INT64,
            node_name=f"{self._name}.row_places",
            axis=0,
        )
        padded = self._insert.op(
            "Pad",
            part,
            one_more,
            None,
            along,
            name=f"{self._name}_grad.padded_rows",
            shape=self._with_length(kept + 1),
            node_name=f"{self._name}.row_of_zeros",
        )
        return self._gather("spread", padded, places, axis)

    def drop(self, gradient: ir.Value) -> None:
        """Compute the whole gradient no more, and remove the node if it gave nothing else."""
        gradient.name = ""
        if all(not out.name for out in self._source.outputs):
            self._insert.graph.remove(self._source, safe=True)

    def _gather(self, part: str, value: ir.Value | None, rows: ir.Value, axis: int) -> ir.Value:
        name, node_name = f"{self._name}_grad.row_{part}", f"{self._name}.row_{part}"
        out = self._insert.op("Gather", value, rows, name=name, dtype=FLOAT, node_name=node_name, axis=axis)
        if value is not None and value.shape is not None:
            lengths = list(value.shape)
            out.shape = ir.Shape([*lengths[:axis], dims(rows)[0], *lengths[axis + 1 :]])
        return out

    def _with_length(self, length: int) -> list[int]:
        """The weight's shape with another number of rows."""
        return [*self._shape[: self._axis], length, *self._shape[self._axis + 1 :]]


def _can_cut(source: ir.Node, gradient: ir.Value, axis: int) -> bool:
    """Whether the rows of this gradient can be computed without the rest."""
    if len(list(gradient.uses())) != 1:
        return False
    if source.op_type == "ConvGrad":
        return axis == 0 and gradient is source.outputs[1] and int_attribute(source, "group", 1) == 1
    if source.op_type not in PRODUCTS or any(value is not None for value in source.inputs[2:]):
        return False
    # A Gemm's operands have two axes even where the gradient builder left their shapes out.
    return source.op_type == "Gemm" or all(v is not None and len(v.shape or ()) == 2 for v in source.inputs[:2])
