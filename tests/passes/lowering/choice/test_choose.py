"""The choice of the sparse layers, against every other choice."""

import itertools
import math
from collections.abc import Mapping

import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparcl_compile.interface.report import Times
from sparcl_compile.passes.lowering.batch_last.rules import can_move
from sparcl_compile.passes.lowering.choice.choose import Offer, faster_sparse, own_transposes
from sparcl_compile.passes.lowering.choice.costs import taken_in_seconds, transpose_seconds
from sparcl_compile.passes.lowering.choice.work import work_of
from tests.support.batch_last import model_of

KINDS = {
    "relu": "Relu ({0})",
    "add": "Add ({0}, {1})",
    "conv": "Conv <pads = [1, 1, 1, 1]> ({0}, {w})",
    "pointwise": "Conv ({0}, {w})",
    "depthwise": "Conv <group = 2> ({0}, {w})",
}
"""Nodes that keep the shape; of ``conv`` and ``pointwise`` some have a sparse form."""

WEIGHTS = {"conv": "float[2,2,3,3]", "pointwise": "float[2,2,1,1]", "depthwise": "float[2,1,1,1]"}
BATCH = 4
CROSSING = 2 * transpose_seconds(BATCH * 2 * 8 * 8)
"""Every activation has 2x8x8 elements a sample."""

times = st.floats(0, 3 * CROSSING)


@st.composite
def drawn(draw: st.DrawFn) -> tuple[ir.Model, dict[ir.Node, Offer]]:
    """Up to six nodes in any connection, and the times of some convolutions."""
    values, nodes, weights = ["x"], [], []
    for number in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(sorted(KINDS)))
        operands = [draw(st.sampled_from(values)) for _ in range(2)]
        weights += [f"{WEIGHTS[kind]} w{number}"] if kind in WEIGHTS else []
        nodes.append(f"[{kind}{number}] v{number} = {KINDS[kind].format(*operands, w=f'w{number}')}")
        values.append(f"v{number}")
    inputs = ", ".join(["float[N,2,8,8] x", *weights])
    model = model_of(f"g ({inputs}) => (float[N,2,8,8] {values[-1]}) {{ {' '.join(nodes)} }}")
    layers = [node for node in model.graph if str(node.name).startswith(("conv", "pointwise"))]
    return model, {node: offer(node, draw(times), draw(times)) for node in layers if draw(st.booleans())}


def offer(node: ir.Node, dense: float, sparse: float) -> Offer:
    assert node.inputs[1] is not None
    return Offer(work_of(node, node.inputs[1], 1, 1, True), Times(dense, sparse))


def cost(graph: ir.Graph, offers: Mapping[ir.Node, Offer], inside: set[ir.Node]) -> float:
    """The seconds of a step in which these nodes are batch last: layers in their faster form, and the transposes."""
    total = 0.0
    for node, one in offers.items():
        forms = [one.times.dense] if node not in inside or can_move(node) else []
        total += min([*forms, *([one.times.sparse] if node in inside else [])])
    for value in (*graph.inputs, *(node.outputs[0] for node in graph)):
        makers = [value.producer() in inside, *(usage.node in inside for usage in value.uses())]
        makers += [False] if value.is_graph_output() else []
        total += CROSSING if len(set(makers)) == 2 else 0.0
    return total


def cheapest(graph: ir.Graph, offers: Mapping[ir.Node, Offer], fixed: Mapping[ir.Node, bool]) -> float:
    free = [node for node in graph if node not in fixed and (node in offers or can_move(node))]
    always = {node for node, inside in fixed.items() if inside}
    sets = itertools.chain.from_iterable(itertools.combinations(free, n) for n in range(len(free) + 1))
    return min(cost(graph, offers, always | set(some)) for some in sets)


@given(drawn())
@settings(max_examples=80, deadline=None)
def test_no_other_choice_is_faster(made: tuple[ir.Model, dict[ir.Node, Offer]]) -> None:
    model, offers = made
    sparse = faster_sparse(model.graph, offers, BATCH)
    assert sparse <= offers.keys()
    # What stays dense may run on either side if it is pointwise.
    fixed = {node: node in sparse for node in offers if node in sparse or not can_move(node)}
    dense = {node: Offer(one.work, Times(one.times.dense, math.inf)) for node, one in offers.items()}
    found = cheapest(model.graph, {**dense, **{node: offers[node] for node in sparse}}, fixed)
    # Capacities are whole nanoseconds.
    assert found == pytest.approx(cheapest(model.graph, offers, {}), abs=20e-9)


CHAIN = """g (float[N,4,8,8] x, float[4,4,3,3] w0, float[4,4,3,3] w1) => (float[N,4,8,8] y)
{ [a] h = Conv <pads = [1, 1, 1, 1]> (x, w0) [b] y = Conv <pads = [1, 1, 1, 1]> (h, w1) }"""
ONE = transpose_seconds(BATCH * 4 * 8 * 8)


@pytest.mark.parametrize(
    ("gains", "chosen"),
    [
        # A crossing is two Transposes: four for one layer alone, and no more for both.
        ((4.5, -0.5), "a"),
        ((4.5, 0.5), "ab"),
        ((3.5, 0.0), ""),
        ((2.5, 2.5), "ab"),
        ((1.5, 1.5), ""),
    ],
)
def test_neighbours_share_their_transposes(gains: tuple[float, float], chosen: str) -> None:
    model = model_of(CHAIN)
    offers = {node: offer(node, 10 * ONE, (10 - gain) * ONE) for node, gain in zip(model.graph, gains, strict=True)}
    assert "".join(sorted(str(node.name) for node in faster_sparse(model.graph, offers, BATCH))) == chosen


def test_a_slower_machine_transposes_slower() -> None:
    model = model_of(CHAIN)
    offers = {node: offer(node, 10 * ONE, 7.5 * ONE) for node in model.graph}
    assert len(faster_sparse(model.graph, offers, BATCH)) == 2
    assert not faster_sparse(model.graph, offers, BATCH, speed=2.0)


def test_what_a_normalisation_takes_in_speaks_for_its_layout() -> None:
    text = """g (float[N,4,8,8] x, float[4,4,3,3] w, float[4] s, float[4] b, float[4] "n.mean", float[4] "n.var")
    => (float[N,4,8,8] y) {
      [a] h = Conv <pads = [1, 1, 1, 1]> (x, w)
      n, m, v = BatchNormalization <training_mode = 1> (h, s, b, "n.mean", "n.var")
      y = Relu (n)
    }"""
    saved = taken_in_seconds("Relu", BATCH * 4 * 8 * 8)
    for share, count in ((0.5, 1), (1.5, 0)):
        model = model_of(text)
        conv = next(node for node in model.graph if node.name == "a")
        offers = {conv: offer(conv, 10 * ONE, 10 * ONE - (4 * ONE - share * saved))}
        assert len(faster_sparse(model.graph, offers, BATCH)) == count


@pytest.mark.parametrize("activation", ["float[N,64]", "float[N,9,64]"])
def test_products_are_decided_by_themselves(activation: str) -> None:
    text = f"g ({activation} x, float[64,64] w) => ({activation} y) {{ [a] y = MatMul (x, w) }}"
    for share, count in ((0.9, 1), (1.1, 0)):
        model = model_of(text)
        node = model.graph[0]
        one = offer(node, 1e-3, 0.0)
        made = Offer(one.work, Times(1e-3, 1e-3 - own_transposes(one.work, BATCH) / share))
        assert len(faster_sparse(model.graph, {node: made}, BATCH)) == count
