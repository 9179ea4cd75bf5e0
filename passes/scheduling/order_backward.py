"""Put the nodes of the backward pass where ONNX Runtime runs them as late, and frees values as early, as it can."""

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Set

import onnx_ir as ir

from sparcl_compile.interface.names import accumulator_name
from sparcl_compile.passes.analysis.liveness.buffers import lay_out
from sparcl_compile.passes.analysis.liveness.chains import ASK_FOR_SHAPES, after_loss, packed
from sparcl_compile.passes.analysis.liveness.executor import STOCK, Executor, executor_of
from sparcl_compile.passes.analysis.liveness.sizes import at_batch
from sparcl_compile.passes.core.accumulation import accumulations
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import DIFFERENTIATED, MOVING
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.scheduling.recompute_activations import recompute_everything


@dataclasses.dataclass(frozen=True)
class _Order:
    """Whether rule 1 holds, whether rule 2 holds as it stands or turned round, and what it goes by."""

    late: bool
    one_by_one: bool
    by_use: bool


ORDERS = tuple(_Order(*one) for one in itertools.product((True, False), (True, False), (False, True)))
"""Orders that are tried; of those with an equal peak the first is taken."""


@dataclasses.dataclass(frozen=True)
class OrderBackward(Pass):
    """Sort the file so that few values wait: ONNX Runtime derives its order from the file's (``liveness/order.py``).

    1. What does not depend on the gradient of the loss goes before what does. Of two inputs the younger one is computed
       first: a ReLU6's mask, say, which only the backward reads, is then computed when the gradient is there, and not
       in the forward pass, to be kept. What is smaller than the value that it is computed from, and spares
       keeping that (a ReLU's mask of bytes), stays where it is and is computed at once; where its shape is read, that
       stays instead, and what else reads it waits.
    2. The accumulators go behind all other nodes, the one whose gradient is ready last first. The search starts at the
       last unread node, so that a layer's gradient is computed, added and freed before the next layer's. The
       gradient builder's own order is that of a hash table: it differs from model to model and can keep several
       layers' weight gradients alive at the peak. Ready last is the gradient with the most nodes on the longest path
       from the inputs, or that of the parameter which the forward pass reads first, whichever gives the lower peak: a
       weight gradient of many nodes is late by the first and may be computed when its layer is done by the second. Ties
       go by name.
    3. Rule 1 is left out where it raises the peak (``liveness/buffers.py``, at ``batch`` samples): what is computed
       late can be smaller than what it is computed from. Rule 2 is turned round where that lowers the peak: the search
       then goes back along the whole backward pass before anything runs, and meets what stays in its place by rule 1
       first, but all gradients wait for the end. That pays where the weights are frozen.

    No node is added, removed or changed.

    Options:
        batch: the batch size that the peak is estimated for.
        executor: the build of ONNX Runtime that the peak is estimated for (``liveness/executor.py``).
        recompute: whether the order is for a graph in which ``recompute_activations`` comes next.
    """

    phase = Phase.SCHEDULING
    needs = (DIFFERENTIATED,)
    before = (MOVING,)

    batch: int = 32
    executor: str = STOCK
    recompute: bool = False

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Reorder a differentiated graph."""
        before, executor = list(model.graph), executor_of(self.executor)
        sized = at_batch(model, self.batch)
        at_once = frozenset(str(_first_read(value).name) for value in packed(sized.graph))
        if self.recompute:
            recompute_everything(sized)
        best = min(ORDERS, key=lambda order: _peak(sized, order, at_once, executor))
        after = _ordered(model.graph, best, at_once)
        if after == before:
            return ir.passes.PassResult(model, False)
        _reorder(model.graph, after)
        return ir.passes.PassResult(model, True)


def _first_read(value: ir.Value) -> ir.Value:
    """The shape of a value where something reads it, since what asks for the shape asks for the value; or the value."""
    shapes = [usage.node.outputs[0] for usage in value.uses() if usage.node.op_type in ASK_FOR_SHAPES]
    return shapes[0] if shapes else value


def _peak(sized: ir.Model, order: _Order, at_once: Collection[str], executor: Executor) -> int:
    return lay_out(sized, _ordered(sized.graph, order, at_once), executor).peak_bytes


def _ordered(graph: ir.Graph, order: _Order, at_once: Collection[str]) -> list[ir.Node]:
    """The nodes in one of the orders; ``at_once`` names outputs of nodes that do not wait."""
    nodes, gradients = list(graph), after_loss(graph)
    backward = gradients if order.late else set()
    young = backward | {node for node in nodes if order.late and node.outputs[0].name in at_once}
    depths, found = _depths(nodes), accumulations(graph)
    ready = _by_use(graph, depths, gradients) if order.by_use else {node: depths[node] for node in found.values()}
    sign = -1 if order.one_by_one else 1
    accumulators = sorted(dict.fromkeys(found.values()), key=lambda node: (sign * ready[node], str(node.name)))
    others = [node for node in nodes if node not in ready]
    return [*sorted(others, key=young.__contains__), *accumulators]


def _reorder(graph: ir.Graph, nodes: list[ir.Node]) -> None:
    graph.remove(nodes)
    graph.extend(nodes)


def _by_use(graph: ir.Graph, depths: Mapping[ir.Node, int], gradients: Set[ir.Node]) -> dict[ir.Node, int]:
    """By accumulator how early, from 0 downwards, the forward pass first reads the parameter."""
    parameters = {accumulator_name(str(value.name)): value for value in graph.inputs}
    pairs = ((parameters.get(str(buffer.name)), node) for buffer, node in accumulations(graph).items())
    return {node: -min(_read_at(parameter, depths, gradients), default=0) for parameter, node in pairs}


def _read_at(parameter: ir.Value | None, depths: Mapping[ir.Node, int], gradients: Set[ir.Node]) -> list[int]:
    readers = [] if parameter is None else [usage.node for usage in parameter.uses()]
    return [depths[reader] for reader in readers if reader not in gradients]


def _depths(nodes: list[ir.Node]) -> dict[ir.Node, int]:
    """The number of nodes on the longest path that ends in a node; the nodes are in topological order."""
    depths: dict[ir.Node, int] = {}
    for node in nodes:
        producers = [value.producer() for value in node.inputs if value is not None]
        depths[node] = 1 + max((depths.get(producer, 0) for producer in producers if producer is not None), default=0)
    return depths
