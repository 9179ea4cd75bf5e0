"""The rules of the sparse operators: the operators of the gradients, whose numbers tests/runtime/kernels compares."""

import onnx
import onnx_ir as ir
import pytest

from sparcl_compile.passes.core.contract import IR_VERSION
from sparcl_compile.passes.core.edit import Names
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.gradients.gradient import Gradient
from sparcl_compile.passes.gradients.table import rule_for

HEADER = f"""<ir_version: {IR_VERSION}, opset_import: ["" : 18, "sparcl" : 1]>"""
CONV = """tried (float[2, 6, 5, N] x, float[9] values, int64[9] index, int64[4] rows) => (float[3, 6, 5, N] y) {
    y = sparcl.SparseConv<channels = 2, kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1],
        dilations = [1, 1]>
        (x, values, index, rows)
}"""
NORM = """tried (float[2, 6, 5, N] x, float[2] scale, float[2] shift, float[2, 6, 5, N] added, float[2] mean,
    float[2] var) => (float[2, 6, 5, N] y) {
    y, m, v, s, d = sparcl.BatchNormTraining<relu = 1>(x, scale, shift, added, mean, var)
}"""
POOL = """tried (float[2, 6, 5, N] x) => (float[2, 3, 2, N] y) {
    y = sparcl.MaxPoolBatchLast<kernel_shape = [2, 2], strides = [2, 2], pads = [0, 0, 0, 0], dilations = [1, 1]>(x)
}"""


def gradients(text: str, wanted: tuple[int, ...]) -> tuple[ir.Node, list[ir.Value | None], list[ir.Node]]:
    """A node, the gradients of its inputs by its rule, and the nodes that the rule wrote."""
    model = ir.from_proto(onnx.parser.parse_model(HEADER + text))
    (node,) = list(model.graph)
    node.name = "n"
    dy = ir.Value(name="dy", shape=node.outputs[0].shape, type=node.outputs[0].type)
    rule = rule_for(node)
    assert rule is not None
    given = [dy, *[None] * (len(node.outputs) - 1)]
    made = rule(Gradient(Inserter("tried", model.graph, Names(model.graph)), node, given, wanted))
    return node, list(made), [one for one in model.graph if one is not node]


def test_a_sparse_convolution() -> None:
    node, (dx, dvalues, *rest), written = gradients(CONV, (0, 1))
    assert [one.op_type for one in written] == ["SparseConvInputGrad", "SparseConvWeightGrad"]
    assert {one.domain for one in written} == {"sparcl"}
    assert dx is not None
    assert dvalues is not None
    assert (dx.shape, dvalues.shape) == (node.inputs[0].shape, node.inputs[1].shape)
    assert [v.name for v in written[0].inputs if v] == ["dy", "values", "index", "rows"]
    assert written[0].attributes["input_shape"].as_ints() == (6, 5)
    assert [v.name for v in written[1].inputs if v] == ["x", "dy", "index", "rows"]
    assert all(one.attributes["pads"].as_ints() == (1, 1, 1, 1) for one in written)
    assert not any(rest)


@pytest.mark.parametrize("blocks", [True, False])
def test_the_gradients_know_of_blocks(blocks: bool) -> None:
    text = CONV.replace("channels = 2", "channels = 2, block = 4") if blocks else CONV
    _, _, written = gradients(text, (0, 1))
    assert [one.attributes.get_int("block", 1) for one in written] == [4 if blocks else 1] * 2


@pytest.mark.parametrize(("wanted", "op_type"), [((0,), "SparseConvInputGrad"), ((1,), "SparseConvWeightGrad")])
def test_only_what_is_asked_for_is_written(wanted: tuple[int, ...], op_type: str) -> None:
    _, _, written = gradients(CONV, wanted)
    assert [one.op_type for one in written] == [op_type]


@pytest.mark.parametrize("adds", [False, True])
def test_a_batch_normalisation_and_what_is_added(adds: bool) -> None:
    node, made, written = gradients(NORM, (0, 1, 2, 3) if adds else (0, 1, 2))
    assert [one.op_type for one in written] == ["BatchNormGrad"]
    assert [v.name for v in written[0].inputs if v] == ["dy", "x", "scale", "s", "d", "y"]
    assert len(made) == 3 + adds
    shapes = [one.shape for one in made if one is not None]
    assert shapes[:3] == [node.inputs[0].shape, node.inputs[1].shape, node.inputs[1].shape]  # type: ignore[union-attr]


def test_a_pool() -> None:
    node, (dx,), written = gradients(POOL, (0,))
    assert [one.op_type for one in written] == ["MaxPoolBatchLastGrad"]
    assert [v.name for v in written[0].inputs if v] == ["dy", "x", "y"]
    assert dx is not None
    assert dx.shape == node.inputs[0].shape  # type: ignore[union-attr]
