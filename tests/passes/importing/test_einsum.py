"""Einsum becomes a product: with the batch in any operand, and with a weight that is one of the product's."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sparcl_compile.passes.importing.heads import find_head
from tests.support.gradient_check import by_rules, dense_reasons, imported, worst_gradient

TOLERANCE = 1e-3
CAPSULES = """<ir_version: 8, opset_import: ["" : 13]> capsules (float[BATCH,24] x) => (float[BATCH,3] logits) {
    inner = Constant <value: tensor = int64[3] {-1, 6, 4}> ()
    axes = Constant <value: tensor = int64[1] {2}> ()
    h = Reshape (x, inner)
    votes = Einsum <equation = "kjoi,nji->nkjo"> (w, h)
    capsules = ReduceSum <keepdims = 0> (votes, axes)
    logits = ReduceSumSquare <axes = [2], keepdims = 0> (capsules)
}"""
"""Votes of six capsules of four numbers for three of five numbers; nothing else has a weight."""
DENSE = """<ir_version: 8, opset_import: ["" : 13]> tokens (float[N,5,4] x) => (float[N,3] logits) {
    q = Einsum <equation = "abc,cde->abde"> (x, w)
    r = Relu (q)
    o = Einsum <equation = "abcd,cde->abe"> (r, v)
    m = ReduceMean <axes = [1], keepdims = 0> (o)
    logits = Einsum <equation = "ab,bc->ac"> (m, head)
}"""
"""Projections as Keras's EinsumDense and MultiHeadAttention write them."""


def built(text: str, **shapes: tuple[int, ...]) -> onnx.ModelProto:
    proto, rng = onnx.parser.parse_model(text), np.random.default_rng(0)
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    return proto


def dense(**options: Any) -> Any:
    return imported(built(DENSE, w=(4, 2, 3), v=(2, 3, 6), head=(6, 3)), **options)


@pytest.mark.parametrize("batch", ["N", "1", "2"])
def test_votes_of_capsules_are_a_product(batch: str) -> None:
    model = imported(built(CAPSULES.replace("BATCH", batch), w=(3, 6, 5, 4)), target="ort")
    assert model.graph.initializers["w"].shape == (6, 4, 15)
    assert worst_gradient(model, by=by_rules)[0] < TOLERANCE


def test_weights_of_einsums_are_weights_of_layers() -> None:
    model = dense(target="ort")
    assert dense_reasons(model) == {"w": None, "v": None, "head": "classifier"}
    assert worst_gradient(model, by=by_rules)[0] < TOLERANCE


def test_a_head_that_is_an_einsum_can_be_replaced() -> None:
    head = find_head(dense(classes=7).graph)
    assert head is not None
    assert [value.shape for value in head.inputs if value is not None][1] == (6, 7)


@pytest.mark.parametrize(
    ("other", "shape"),
    [
        ("abc,cde->abde", (4, 6)),  # as the layer is called again
        ("abc,cde->abed", (4, 2, 3)),  # in another way
    ],
)
def test_a_weight_that_two_einsums_share_stays_one(other: str, shape: tuple[int, ...]) -> None:
    """And it is a layer's, which gets a mask, where both read it alike."""
    turned = "" if other.endswith("de") else "t = Transpose <perm = [0, 1, 3, 2]> (p)"
    again = f'p = Einsum <equation = "{other}"> (x, w) {turned} r = Add (q, {"t" if turned else "p"})'
    proto = built(DENSE.replace("r = Relu (q)", again), w=(4, 2, 3), v=(2, 3, 6), head=(6, 3))
    proto.producer_name = "tf2onnx"
    model = imported(proto, target="ort")
    assert dense_reasons(model).keys() == {"v", "head"} | ({"w"} if shape == (4, 6) else set())
    assert model.graph.initializers["w"].shape == shape
    assert worst_gradient(model, by=by_rules)[0] < TOLERANCE


SEVERAL = """<ir_version: 8, opset_import: ["" : 13]> several (float[N,5,4] x) => (float[N,3] logits) {
    h = Einsum <equation = "abc,cd,de->abe"> (x, w, v)
    r = Relu (h)
    t = Einsum <equation = "abc->acb"> (r)
    m = Einsum <equation = "acb->ac"> (t)
    logits = Einsum <equation = "ab,bc,cd->ad"> (m, u, head)
}"""
"""Einsums of three operands and of one, with an axis that is summed alone."""


def test_einsums_of_one_and_of_three_operands_are_sums_and_products() -> None:
    model = imported(built(SEVERAL, w=(4, 2), v=(2, 6), u=(6, 5), head=(5, 3)), target="ort")
    assert "Einsum" not in [node.op_type for node in model.graph]
    assert dense_reasons(model) == {"w": None, "v": None, "u": None, "head": "classifier"}
    assert worst_gradient(model, by=by_rules)[0] < TOLERANCE
