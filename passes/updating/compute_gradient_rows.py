"""Weight gradients of the chosen output channels only."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role, gradient_mask_name, gradient_rows_name
from sparcl_compile.passes.analysis.channels.plan import plan_of
from sparcl_compile.passes.analysis.rows import kept_rows, output_axes
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import int_attribute
from sparcl_compile.passes.core.facts import DIFFERENTIATED, GRADIENTS_MASKED, MOVING, PRUNED
from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import set_role
from sparcl_compile.passes.core.values import FLOAT, INT64, Feeds, constant, dims

PRODUCTS = ("Gemm", "MatMul", "FusedMatMul")


@dataclasses.dataclass(frozen=True)
class ComputeGradientRows(Pass):
    """Compute only those rows of dW that the gradient mask lets through (DGM with ``--gradient-scheme channel``).

    1. ``W.gradient_rows`` is a graph input, int64 [K], ascending: the output channels of W that are updated,
       ``K = max(1, floor((1 - q) * O + 0.5))`` of O, or what folding has left where that is less. O is counted before
       folding, which the graph's ``ChannelPlan`` holds. ``update_gradient_masks`` makes it together with the mask.
    2. ``ConvGrad(dY, X, W) -> dX, dW, dB`` keeps dX and dB; dW comes from a second ConvGrad on the chosen channels of
       dY and of W. ORT's kernel does the two matrix products one after the other anyway, so nothing is computed twice.
    3. A dW that is a matrix product is the product of the chosen rows or columns of its operand on that side.
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
        if gradient is None or source is None or kept >= channels or not _can_cut(source, gradient, axis):
            return False
        rows = set_role(feeds(gradient_rows_name(name), [kept], INT64), Role.GRADIENT_ROWS)
        cutter = _Cutter(self, graph, source, name)
        part = cutter.conv(rows, dims(weight)) if source.op_type == "ConvGrad" else cutter.matrix(rows, axis, weight)
        product.replace_input_with(0, cutter.spread(part, rows, axis, weight))
        cutter.drop(gradient)
        return True


class _Cutter:
    """Inserts the nodes of one weight behind the node that computes its gradient."""

    def __init__(self, made_by: ComputeGradientRows, graph: ir.Graph, source: ir.Node, weight: str) -> None:
        self.made_by, self.graph, self.source, self.weight = made_by, graph, source, weight
        self.anchor = source

    def conv(self, rows: ir.Value, shape: list[int]) -> ir.Value:
        """The gradient of the chosen filters from a second ConvGrad."""
        gradient, x, weight = self.source.inputs[:3]
        chosen = self._gather("upstream", gradient, rows, 1)
        filters = self._gather("filters", weight, rows, 0)
        node = self.made_by.node(
            "ConvGrad",
            [chosen, x, filters],
            attributes=dict(self.source.attributes),
            domain=self.source.domain,
            num_outputs=2,
            name=f"{self.weight}.row_gradient",
        )
        node.outputs[0].name = ""
        return self._insert(node, node.outputs[1], "rows", [*dims(rows), *shape[1:]])

    def matrix(self, rows: ir.Value, axis: int, weight: ir.Value) -> ir.Value:
        """The gradient of the chosen channels from a product with their part of the operand on that side."""
        inputs = list(self.source.inputs)
        across = int_attribute(self.source, ("transA", "transB")[axis], 0)
        inputs[axis] = self._gather("operand", inputs[axis], rows, axis if not across else 1 - axis)
        node = self.made_by.node(
            self.source.op_type,
            inputs,
            attributes=dict(self.source.attributes),
            domain=self.source.domain,
            name=f"{self.weight}.row_gradient",
        )
        shape = dims(weight)
        shape[axis] = dims(rows)[0]
        return self._insert(node, node.outputs[0], "rows", shape)

    def spread(self, part: ir.Value, rows: ir.Value, axis: int, weight: ir.Value) -> ir.Value:
        """The rows at their places in a tensor of W's shape that is zero elsewhere."""
        kept, channels = dims(rows)[0], dims(weight)[axis]
        nowhere = constant(self.graph, f"rows.nowhere_{channels}_{kept}", np.full(channels, kept, np.int64))
        numbers = constant(self.graph, f"rows.numbers_{kept}", np.arange(kept, dtype=np.int64))
        one_more = constant(self.graph, "rows.one_more", np.array([0, 1], np.int64))
        along = constant(self.graph, f"rows.axis_{axis}", np.array([axis], np.int64))
        scatter = self.made_by.node(
            "ScatterElements", [nowhere, rows, numbers], attributes={"axis": 0}, name=f"{self.weight}.row_places"
        )
        places = self._insert(scatter, scatter.outputs[0], "places", [channels], INT64)
        pad = self.made_by.node("Pad", [part, one_more, None, along], name=f"{self.weight}.row_of_zeros")
        shape = dims(part)
        shape[axis] = kept + 1
        padded = self._insert(pad, pad.outputs[0], "padded_rows", shape)
        return self._gather("spread", padded, places, axis)

    def drop(self, gradient: ir.Value) -> None:
        """The whole dW is computed no more; nor is the node that gave nothing else."""
        gradient.name = ""
        if all(not out.name for out in self.source.outputs):
            self.graph.remove(self.source, safe=True)

    def _gather(self, part: str, value: ir.Value | None, rows: ir.Value, axis: int) -> ir.Value:
        node = self.made_by.node("Gather", [value, rows], attributes={"axis": axis}, name=f"{self.weight}.row_{part}")
        shape: list[int | ir.SymbolicDim] | None = None if value is None or value.shape is None else list(value.shape)
        if shape is not None:
            shape[axis] = dims(rows)[0]
        return self._insert(node, node.outputs[0], f"row_{part}", shape)

    def _insert(
        self,
        node: ir.Node,
        out: ir.Value,
        part: str,
        shape: Sequence[int | ir.SymbolicDim] | None,
        dtype: ir.TensorType = FLOAT,
    ) -> ir.Value:
        out.name, out.type = f"{self.weight}_grad.{part}", dtype
        out.shape = None if shape is None else ir.Shape(shape)
        self.graph.insert_after(self.anchor, node)
        self.anchor = node
        return out


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
