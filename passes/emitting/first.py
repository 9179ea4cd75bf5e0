"""The graph that trains on the first batch of a step: its gradients are the next accumulators, and nothing is added."""

import math
from collections.abc import Iterator

import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.rows import weight_of
from sparcl_compile.passes.core.accumulation import GRADIENT, accumulations
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.layers import WEIGHT_SLOTS
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.core.unused import remove_unused
from sparcl_compile.passes.core.values import dims

SHARE = 0.5
"""The share of the parameters that are read once a sample from which on the graph pays."""
LEAST = 1 << 18
"""The fewest numbers of these parameters: gradients of fewer stay in the caches."""
ADDER = "Add"
"""The operator that gives the next accumulator where that is an output of the graph."""


def pays(forward: ir.Model, training: ir.Model) -> bool:
    """Whether a network learns so little with each weight that adding to stored gradients takes a share of the step.

    Measured on a network of dense layers, batch 32: a tenth of the step. A convolution or a transformer reads a weight
    once for each position, and there it is less than a hundredth.

    Args:
        forward: the forward graph, with its parameters as initializers.
        training: the training graph; one that adds in place, or adds nothing, has no use for another.
    """
    adders = accumulations(training.graph).values()
    if not adders or any(node.op_type != ADDER for node in adders):
        return False
    weights = {str(value.name): math.prod(dims(value)) for value in values_with_role(forward, Role.PARAMETER)}
    once = {str(value.name) for value in _read_once(forward.graph)}
    return sum(weights[name] for name in once) >= max(LEAST, SHARE * sum(weights.values()))


def to_first(made_by: Pass, model: ir.Model) -> None:
    """Turn a training graph that adds to accumulators into the one of a step's first batch, in place.

    Equal to the training graph with ``lazy_reset_grad`` set, but for the sign of a zero.
    """
    graph, insert = model.graph, made_by.inserter(model.graph)
    for adder in accumulations(graph).values():
        gradient, old = adder.inputs[GRADIENT], adder.outputs[0]
        name, place = str(old.name), list(graph.outputs).index(old)
        old.name = f"{name}.sum"
        graph.outputs[place] = _as_output(insert, gradient, name, old)
        graph.remove(adder, safe=True)
    remove_unused(model)
    used = {value for node in graph for value in node.inputs if value is not None}
    graph.inputs[:] = [value for value in graph.inputs if value in used]


def _as_output(insert: Inserter, gradient: ir.Value | None, name: str, like: ir.Value) -> ir.Value:
    """The gradient under a name; a copy of one that is a constant, or the gradient of another parameter too."""
    if gradient is None or gradient.producer() is None or gradient.is_graph_output():
        return insert.op("Identity", gradient, name=name, like=like)
    gradient.name, gradient.shape, gradient.type = name, like.shape, like.type
    return gradient


def _read_once(graph: ir.Graph) -> Iterator[ir.Value]:
    """The parameters that a product with a matrix of samples reads, behind their mask or not."""
    for node in graph:
        if node.op_type not in ("Gemm", "MatMul"):
            continue
        operands = [node.inputs[slot] for slot in WEIGHT_SLOTS[node.op_type]]
        if all(value is not None and len(value.shape or ()) == 2 for value in operands):
            yield from (found for value in operands if (found := weight_of(value)) is not None)
