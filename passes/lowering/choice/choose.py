"""Which layers are faster sparse, and what else runs in their layout then: the cheapest cut of the graph."""

import dataclasses
from collections.abc import Mapping

import onnx_ir as ir

from sparcl_compile.interface.report import Times
from sparcl_compile.passes.lowering.batch_last.minimum_cut import (
    OUTSIDE,
    Activation,
    Leaning,
    activations_of,
    elements,
    outside_of_cut,
)
from sparcl_compile.passes.lowering.batch_last.rules import can_move
from sparcl_compile.passes.lowering.choice.costs import taken_in_seconds, transpose_seconds
from sparcl_compile.passes.lowering.choice.work import PRODUCT, Work

UNIT = 1e-9
"""Seconds that a capacity of 1 stands for."""

NORM = "BatchNormalization"


@dataclasses.dataclass(frozen=True)
class Offer:
    """A layer that could be sparse: what it computes, and how long that takes in both forms."""

    work: Work
    times: Times


def faster_sparse(graph: ir.Graph, offers: Mapping[ir.Node, Offer], batch: int, speed: float = 1.0) -> set[ir.Node]:
    """The nodes whose sparse form makes the whole step the fastest.

    Sparse nodes compute batch last, and where that meets batch first, activations and their gradients are transposed.
    Both together are the cost of a cut between the two sides: a layer's time on its side, and for each activation that
    the cut goes through its transposes. ``lay_out_batch_last`` then finds the same side for all that is not a layer.
    Normalisations inside take in the Relu and the Add behind them, which speaks for the layout. Products of matrices
    keep their own transposes, so each is decided by itself.

    Args:
        graph: a masked forward graph, batch first.
        offers: the layers that have a sparse form.
        batch: samples.
        speed: how much longer this machine takes than the table of costs says.
    """
    alone = {node for node, offer in offers.items() if offer.work.kind == PRODUCT}
    planes = {node: offer for node, offer in offers.items() if node not in alone}
    nodes = [node for node in graph if node in planes or can_move(node)]
    numbers = {node: number for number, node in enumerate(nodes, OUTSIDE + 1)}
    sides = {node: numbers.get(node, OUTSIDE) for node in graph}
    crossings = [
        Activation(_units(2 * speed * transpose_seconds(one.cost * batch)), one.nodes)
        for one in activations_of(graph, sides, set())
    ]
    leanings = {number: _leaning(node, planes.get(node), batch, speed) for node, number in numbers.items()}
    apart = outside_of_cut(crossings, len(nodes) + 2, leanings)
    inside = {node for node, number in numbers.items() if number not in apart and node in planes}
    # A pointwise convolution may run in the layout and yet be dense.
    chosen = {node for node in inside if offers[node].times.sparse < offers[node].times.dense or not can_move(node)}
    return chosen | {node for node in alone if _pays(offers[node], batch, speed)}


def own_transposes(work: Work, batch: int, speed: float = 1.0) -> float:
    """The seconds that a layer's input, output and their gradients take when both neighbours are batch first."""
    tokens = work.pixels if work.kind == PRODUCT else 1
    before, behind = (transpose_seconds(batch * count, tokens) for count in (work.inputs, work.outputs))
    return speed * ((2 if work.input_gradient else 1) * before + 2 * behind)


def _pays(offer: Offer, batch: int, speed: float) -> bool:
    return offer.times.sparse + own_transposes(offer.work, batch, speed) < offer.times.dense


def _leaning(node: ir.Node, offer: Offer | None, batch: int, speed: float) -> Leaning:
    if offer is None:
        return Leaning(0, _units(speed * taken_in_seconds(_taken_in(node), batch * elements(node.outputs[0]))))
    sparse = min(offer.times.sparse, offer.times.dense) if can_move(node) else offer.times.sparse
    return Leaning(_units(sparse), _units(offer.times.dense))


def _taken_in(node: ir.Node) -> str:
    """The operator of a node that a normalisation inside takes in, empty for any other node."""
    sources = [value.producer() for value in node.inputs if value is not None]
    behind = [source for source in sources if source is not None and source.op_type in (NORM, "Add")]
    if node.op_type == "Relu" and behind and (behind[0].op_type == NORM or _taken_in(behind[0])):
        return "Relu"
    return "Add" if node.op_type == "Add" and any(source.op_type == NORM for source in behind) else ""


def _units(seconds: float) -> int:
    return max(0, round(seconds / UNIT))
