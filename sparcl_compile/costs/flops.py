"""The cost of a graph: multiply-accumulates per sample, and the FLOPs of training with it.

It counts operators that multiply matrices: Conv, ConvTranspose, Gemm, MatMul and recurrent layers, the gradients of
Conv, and the sparse convolutions at their places. Everything else (activations, normalisation, pooling, softmax, the
product with a mask) counts as 0, which is the convention of the SparCL paper (arXiv 2209.09476, section 4) and of the
papers it compares with; :func:`free_ops` lists these operators.

A training step is taken as three times the forward pass: f = 2 * MACs forward, f for the gradients of the inputs and f
for those of the weights. The count includes the first layer's input gradient, which training does not compute. With
frozen parameters the convention says nothing, and only what :func:`computed_gradients` finds is counted.
"""

import collections
import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.costs.macs import NO_RULE, RULES, ShapeOf, Sized, label, recurrent
from sparcl_compile.interface.errors import ModelError
from sparcl_compile.interface.manifest import Flops
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.layers import RECURRENT
from sparcl_compile.passes.core.missing_shapes import missing_shapes
from sparcl_compile.passes.core.roles import TRAINABLE, role_of, values_with_role


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """The cost of one node for one sample; ``weight`` is None where two activations are multiplied."""

    node: str
    op_type: str
    weight: str | None
    macs: int


COUNTED = frozenset([*RULES, *RECURRENT])
VIEWS = frozenset(["Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"])


def layer_costs(model: ir.Model) -> tuple[LayerCost, ...]:
    """The multiply-accumulates of every counted node for one sample, in graph order.

    The batch (dimension 0 of the inputs) is taken for 1 when it is symbolic and divided out when it is a number. The
    model is not changed; shapes are inferred only where one is missing. What :func:`uncounted` lists is left out.

    Raises:
        ModelError: a shape stays unknown, or an operator that multiplies has no rule; the node is named.
    """
    batch, left_out = _fixed_batch(model), set(uncounted(model))
    nodes = [node for node in model.graph.all_nodes() if node not in left_out]
    unknown = [node for node in nodes if node.op_type in NO_RULE]
    if unknown:
        raise ModelError(
            f"node {label(unknown[0])} ({unknown[0].op_type}): no rule counts this operator's cost; "
            "write it with Conv, Gemm or MatMul"
        )
    counted = [node for node in nodes if node.op_type in COUNTED]
    shape_of, roles = _ForOneSample(model, counted), _has_roles(model)
    return tuple(
        LayerCost(label(node), node.op_type, weight, macs // batch)
        for node in counted
        for weight, macs in _parts(node, shape_of, roles)
    )


def uncounted(model: ir.Model) -> list[ir.Node]:
    """The nodes in front of all weights whose multiplications no rule counts: a spectrogram of the input, say.

    They are computed once a sample and have no gradient, and no mask makes them cheaper. Where nothing is known of
    weights, in a model that was not imported, there are none.
    """
    if not _has_roles(model):
        return []
    values = (*model.graph.initializers.values(), *model.graph.inputs)
    below: set[ir.Value | None] = {value for value in values if role_of(value) in TRAINABLE}
    found = []
    for node in model.graph:
        if any(value in below for value in node.inputs):
            below.update(node.outputs)
        elif node.op_type in NO_RULE:
            found.append(node)
    return found


def remarks(model: ir.Model) -> list[str]:
    """The line about the nodes that are not counted; none where all are."""
    names = ", ".join(f"{node.op_type} ({label(node)})" for node in uncounted(model))
    return [f"the work of {names} is in none of the numbers of FLOPs: no rule counts it"] if names else []


def _has_roles(model: ir.Model) -> bool:
    return any(role_of(value) for value in (*model.graph.initializers.values(), *model.graph.inputs))


def _parts(node: ir.Node, shape_of: ShapeOf, roles: bool) -> list[tuple[str | None, int]]:
    """The weights of a node with their MACs; raises ModelError where it has too few inputs or axes for its operator."""
    sized = Sized(node, shape_of)
    try:
        if node.op_type in RECURRENT:
            return [(_parameter(node.inputs[slot], roles), macs) for slot, macs in recurrent(sized).items()]
        return [(weight_of(node, roles), RULES[node.op_type](sized))]
    except IndexError as error:
        raise ModelError(
            f"node {label(node)} ({node.op_type}): has too few inputs or axes, so its cost cannot be counted; "
            "export the model again"
        ) from error


def free_ops(model: ir.Model) -> collections.Counter[str]:
    """The number of nodes of each operator that the convention counts as 0 MACs."""
    types = (node.op_type for node in model.graph.all_nodes())
    return collections.Counter(op for op in types if op not in COUNTED and op not in NO_RULE)


def total_macs(costs: Sequence[LayerCost]) -> int:
    """The sum over the nodes."""
    return sum(cost.macs for cost in costs)


def weight_of(node: ir.Node, roles: bool = True) -> str | None:
    """The parameter a node multiplies by, seen through mask products and views; None where it is no counted node.

    Without ``roles`` every initializer counts as a parameter.
    """
    if node.op_type not in COUNTED:
        return None
    for value in node.inputs:
        name = _parameter(value, roles)
        if name is not None:
            return name
    return None


def _parameter(value: ir.Value | None, roles: bool) -> str | None:
    if value is None:
        return None
    node = value.producer()
    if node is None:
        is_weight = role_of(value) in TRAINABLE if roles else value.is_initializer()
        return value.name if is_weight else None
    if node.op_type in VIEWS:
        return _parameter(node.inputs[0], roles)
    if node.op_type != "Mul" or not any(v is not None and role_of(v) is Role.MASK for v in node.inputs):
        return None
    return next((name for v in node.inputs if (name := _parameter(v, roles)) is not None), None)


def _data_inputs(model: ir.Model) -> list[ir.Value]:
    return [v for v in model.graph.inputs if not v.is_initializer() and role_of(v) is None and v.shape]


def _fixed_batch(model: ir.Model) -> int:
    first = next((v.shape[0] for v in _data_inputs(model) if v.shape is not None and len(v.shape) > 1), 1)
    return first if isinstance(first, int) and first > 0 else 1


class _ForOneSample:
    """The shapes of the nodes' inputs and outputs for batch 1, as they are stated, else as they are inferred."""

    def __init__(self, model: ir.Model, nodes: Sequence[ir.Node]) -> None:
        self._inputs = frozenset(_data_inputs(model))
        firsts = [value.shape[0] for value in self._inputs if value.shape]
        self._symbols = {str(first) for first in firsts if isinstance(first, ir.SymbolicDim)} - {"None"}
        values = (value for node in nodes for value in (*node.inputs, *node.outputs) if value is not None)
        self._missing = missing_shapes(model, self._stated, [value for value in values if self._stated(value) is None])

    def __call__(self, value: ir.Value) -> ir.Shape | None:
        """The shape; None where it cannot be known."""
        return self._missing[value].shape if value in self._missing else self._stated(value)

    def _stated(self, value: ir.Value) -> ir.Shape | None:
        if value.producer() is None:
            return _with_batch_one(value.shape, self._symbols, first=True) if value in self._inputs else value.shape
        shape = _with_batch_one(value.shape, self._symbols, first=False)
        # A dimension that is still symbolic would only stop the inference from finding the number.
        return shape if shape is not None and shape.is_static() else None


def _with_batch_one(shape: ir.Shape | None, symbols: set[str], *, first: bool) -> ir.Shape | None:
    if shape is None:
        return None
    named = [1 if str(d) in symbols else d for d in shape]
    if first and named and not isinstance(named[0], int):
        named[0] = 1
    return ir.Shape(named)


@dataclasses.dataclass(frozen=True)
class TrainingFlops:
    """FLOPs of one sample's forward and backward pass, dense and with the sparsities; float64."""

    forward_dense: float
    forward_sparse: float
    input_gradient_dense: float
    input_gradient_sparse: float
    weight_gradient_dense: float
    weight_gradient_sparse: float

    @property
    def dense(self) -> float:
        """Forward and backward without any sparsity: 3f."""
        return self.forward_dense + self.input_gradient_dense + self.weight_gradient_dense

    @property
    def sparse(self) -> float:
        """Forward and backward with masks and gradient masks."""
        return self.forward_sparse + self.input_gradient_sparse + self.weight_gradient_sparse


@dataclasses.dataclass(frozen=True)
class ComputedGradients:
    """The nodes whose gradients a step computes, by label: of the data that goes in, and of the weight."""

    inputs: Collection[str]
    weights: Collection[str]


def computed_gradients(forward: ir.Model) -> ComputedGradients | None:
    """The gradients that the backward pass of a graph with frozen parameters computes; None when nothing is frozen.

    A weight gradient where the weight trains, an input gradient where a parameter that trains stands before the node.
    Where two activations are multiplied, both gradients count when either of them depends on such a parameter.
    """
    if not any(True for _ in values_with_role(forward, Role.FROZEN)):
        return None
    moving: set[ir.Value] = set(values_with_role(forward, Role.PARAMETER))
    inputs, weights = set(), set()
    for node in forward.graph:
        given = [value for value in node.inputs if value is not None]
        if any(value in moving for value in given):
            moving.update(node.outputs)
        if node.op_type not in COUNTED:
            continue
        given = given[: 3 if node.op_type in RECURRENT else 2]
        data = [value for value in given if _parameter(value, True) is None]
        if any(value in moving for value in data):
            inputs.add(label(node))
        if any(value in moving for value in given if value not in data or len(data) == 2):
            weights.add(label(node))
    return ComputedGradients(inputs, weights)


def training_flops(
    costs: Sequence[LayerCost],
    densities: Mapping[str, float],
    gradient_densities: Mapping[str, float],
    computed: ComputedGradients | None = None,
) -> TrainingFlops:
    """FLOPs of training on one sample: forward f, input gradient f, weight gradient f, with f = 2 * MACs.

    Args:
        costs: a forward graph's, from :func:`layer_costs`.
        densities: share of kept weights, 1 - s, by weight name; a weight that is not named counts as dense. Scales the
            forward pass and the input gradient.
        gradient_densities: share of updated weights, 1 - q, in the same way. Scales the weight gradient.
        computed: what the sparse backward pass computes; None for everything.

    Where two activations are multiplied, both gradients are counted dense.
    """
    dense = [2.0 * cost.macs for cost in costs]
    kept = [_density(densities, cost.weight) for cost in costs]
    updated = [_density(gradient_densities, cost.weight) for cost in costs]
    f = sum(dense)
    with_mask = [flops * share for flops, share in zip(dense, kept, strict=True)]
    with_gradient_mask = [flops * share for flops, share in zip(dense, updated, strict=True)]
    data = _sum_over(costs, with_mask, computed.inputs if computed else None)
    weights = _sum_over(costs, with_gradient_mask, computed.weights if computed else None)
    return TrainingFlops(f, math.fsum(with_mask), f, data, f, weights)


def _sum_over(costs: Sequence[LayerCost], flops: Sequence[float], nodes: Collection[str] | None) -> float:
    return math.fsum(one for cost, one in zip(costs, flops, strict=True) if nodes is None or cost.node in nodes)


def _density(shares: Mapping[str, float], weight: str | None) -> float:
    return 1.0 if weight is None else shares.get(weight, 1.0)


def to_manifest(flops: TrainingFlops) -> Flops:
    """The manifest's ``flops``: every field, and the totals ``training_dense`` and ``training_sparse``, per sample."""
    return Flops(**dataclasses.asdict(flops), training_dense=flops.dense, training_sparse=flops.sparse)
