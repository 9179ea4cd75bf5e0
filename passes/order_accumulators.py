"""Put the gradient accumulators where ONNX Runtime runs each as soon as its gradient is there."""

import dataclasses

import onnx_ir as ir

from sparcl_compile.passes.base import Pass

ACCUMULATOR = "InPlaceAccumulatorV2"


@dataclasses.dataclass(frozen=True)
class OrderAccumulators(Pass):
    """Sort the accumulators at the end of the file, so that no gradient waits for its accumulator.

    1. The accumulators go behind all other nodes, the one whose gradient is ready last first. ONNX Runtime searches
       the graph backwards from the last node that nobody reads (``liveness/order.py``), so that a layer's gradient is
       computed, added and freed before the next layer's. The gradient builder's own order is that of a hash table: it
       differs from model to model and can keep several layers' weight gradients alive at the peak.
    2. Ready last is who has the most nodes on the longest path from the inputs; ties go by name.

    No node is added, removed or changed.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Reorder a differentiated graph; any other is left alone."""
        graph = model.graph
        before = list(graph)
        found = [node for node in before if node.op_type == ACCUMULATOR]
        depths = _depths(before)
        ordered = sorted(found, key=lambda node: (-depths[node], str(node.name)))
        after = [*(node for node in before if node.op_type != ACCUMULATOR), *ordered]
        if after == before:
            return ir.passes.PassResult(model, False)
        graph.remove(ordered)
        graph.extend(ordered)
        return ir.passes.PassResult(model, True)


def _depths(nodes: list[ir.Node]) -> dict[ir.Node, int]:
    """The number of nodes on the longest path that ends in a node; the nodes are in topological order."""
    depths: dict[ir.Node, int] = {}
    for node in nodes:
        producers = [value.producer() for value in node.inputs if value is not None]
        depths[node] = 1 + max((depths.get(producer, 0) for producer in producers if producer is not None), default=0)
    return depths
