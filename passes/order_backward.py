"""Put the nodes of the backward pass where ONNX Runtime runs them as late, and frees values as early, as it can."""

import dataclasses

import onnx_ir as ir

from sparcl_compile.passes.base import Pass
from sparcl_compile.passes.liveness.buffers import lay_out
from sparcl_compile.passes.liveness.chains import after_loss
from sparcl_compile.passes.liveness.sizes import at_batch

ACCUMULATOR = "InPlaceAccumulatorV2"


@dataclasses.dataclass(frozen=True)
class OrderBackward(Pass):
    """Sort the file so that few values wait: ONNX Runtime derives its order from the file's (``liveness/order.py``).

    1. What does not depend on the gradient of the loss goes before what does. Of two inputs the younger one is computed
       first: a ReLU6's mask, say, which only the backward reads, is then computed when the gradient is there, and not
       in the forward pass, to be kept.
    2. The accumulators go behind all other nodes, the one whose gradient is ready last first. The search starts at the
       last node that nobody reads, so that a layer's gradient is computed, added and freed before the next layer's. The
       gradient builder's own order is that of a hash table: it differs from model to model and can keep several
       layers' weight gradients alive at the peak. Ready last is who has the most nodes on the longest path from the
       inputs; ties go by name.
    3. Rule 1 is left out where it raises the peak (``liveness/buffers.py``, at ``batch`` samples): what is computed
       late can be smaller than what it is computed from.

    No node is added, removed or changed.

    Options:
        batch: the batch size that the peak is estimated for.
    """

    batch: int = 32

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Reorder a differentiated graph; any other is left alone."""
        before = list(model.graph)
        sized = at_batch(model, self.batch)
        peaks = {late: _peak(sized, late) for late in (True, False)}
        after = _ordered(model.graph, late=peaks[True] <= peaks[False])
        if after == before:
            return ir.passes.PassResult(model, False)
        _reorder(model.graph, after)
        return ir.passes.PassResult(model, True)


def _peak(sized: ir.Model, late: bool) -> int:
    trial = sized.clone()
    _reorder(trial.graph, _ordered(trial.graph, late))
    return lay_out(trial).peak_bytes


def _ordered(graph: ir.Graph, late: bool) -> list[ir.Node]:
    """The nodes by rule 2, and by rule 1 when ``late``."""
    nodes = list(graph)
    backward = after_loss(graph) if late else set()
    depths = _depths(nodes)
    found = [node for node in nodes if node.op_type == ACCUMULATOR]
    accumulators = sorted(found, key=lambda node: (-depths[node], str(node.name)))
    others = [node for node in nodes if node.op_type != ACCUMULATOR]
    return [*sorted(others, key=backward.__contains__), *accumulators]


def _reorder(graph: ir.Graph, nodes: list[ir.Node]) -> None:
    graph.remove(nodes)
    graph.extend(nodes)


def _depths(nodes: list[ir.Node]) -> dict[ir.Node, int]:
    """The number of nodes on the longest path that ends in a node; the nodes are in topological order."""
    depths: dict[ir.Node, int] = {}
    for node in nodes:
        producers = [value.producer() for value in node.inputs if value is not None]
        depths[node] = 1 + max((depths.get(producer, 0) for producer in producers if producer is not None), default=0)
    return depths
