"""The choice of the nodes that take the layout, against every other choice."""

import itertools
import math

import numpy as np
import onnx_ir as ir
from hypothesis import given, settings
from hypothesis import strategies as st

from sparcl_compile.passes.core.edit import Names
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.lowering.batch_last.minimum_cut import nodes_to_move
from sparcl_compile.passes.lowering.batch_last.mover import Mover
from sparcl_compile.passes.lowering.batch_last.rules import can_move, move
from sparcl_compile.passes.lowering.batch_last.tidy import drop_unread, share_conversions
from sparcl_compile.passes.lowering.lay_out_batch_last import LayOutBatchLast
from tests.support.batch_last import answers, model_of, with_sparse

KINDS = {
    "relu": "Relu ({0})",
    "add": "Add ({0}, {1})",
    "small": "Conv <strides = [2, 2]> ({0}, {w})",
    "sparse": "Conv ({0}, {w})",
    "depthwise": "Conv <group = 2> ({0}, {w})",
    "pool": "MaxPool <kernel_shape = [1, 1]> ({0})",
}
"""Nodes that keep the channels; ``small`` is a dense pointwise convolution to half of the height and width."""


@st.composite
def drawn_graphs(draw: st.DrawFn) -> ir.Model:
    """Graphs of up to seven nodes in any connection; a value without a reader is an output."""
    sizes, nodes, weights = {"x": 8}, [], []
    for number in range(draw(st.integers(2, 7))):
        kind = draw(st.sampled_from(sorted(KINDS)))
        source = draw(st.sampled_from(sorted(sizes)))
        other = draw(st.sampled_from([name for name in sorted(sizes) if sizes[name] == sizes[source]]))
        if kind in ("small", "sparse", "depthwise"):
            weights.append(f"float[2,{1 if kind == 'depthwise' else 2},1,1] w{number}")
        nodes.append(f"[{kind}{number}] v{number} = {KINDS[kind].format(source, other, w=f'w{number}')}")
        sizes[f"v{number}"] = -(-sizes[source] // 2) if kind == "small" else sizes[source]
    read = {word.strip("(,)") for node in nodes for word in node.split()[3:]}
    outputs = [f"float[N,2,h{n},w{n}] {n}" for n in sizes if n not in read]
    inputs = ", ".join(["float[N,2,8,8] x", *weights])
    model = model_of(f"g ({inputs}) => ({', '.join(outputs)}) {{ {' '.join(nodes)} }}")
    return with_sparse(model, *(node[1 : node.index("]")] for node in nodes if node.startswith("[sparse")))


def transposed(model: ir.Model) -> int:
    """The elements a sample that all Transposes move."""
    outputs = [node.outputs[0] for node in model.graph if node.op_type == "Transpose"]
    return sum(math.prod(d for d in value.shape or () if isinstance(d, int)) for value in outputs)


def with_moved(model: ir.Model, names: set[str | None]) -> ir.Model:
    """A copy in which just these nodes are moved."""
    copy = model.clone()
    value_names = Names(copy.graph)
    for node in [node for node in copy.graph if node.name in names]:
        move(Mover(Inserter("lay_out_batch_last", copy.graph, value_names).before(node)))
    share_conversions(copy.graph)
    drop_unread(copy.graph)
    return copy


@given(drawn_graphs())
@settings(max_examples=60)
def test_no_other_choice_transposes_fewer_elements(model: ir.Model) -> None:
    expected, before = answers(model), model.clone()
    movable = [node.name for node in model.graph if can_move(node)]
    sets = itertools.chain.from_iterable(itertools.combinations(movable, n) for n in range(len(movable) + 1))
    fewest = min(transposed(with_moved(model, set(names))) for names in sets)
    chosen = {node.name for node in nodes_to_move(model.graph)}
    assert transposed(with_moved(model, chosen)) == fewest
    LayOutBatchLast().call(model)
    assert transposed(model) <= transposed(before)
    found = answers(model)
    for name, result in expected.items():
        np.testing.assert_allclose(found[name], result, rtol=1e-4, atol=1e-5)
    assert not LayOutBatchLast().call(model).modified
