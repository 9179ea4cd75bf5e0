"""The checks behind a pass find what a wrong pass leaves, and name the pass."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.compiling.verify import check_graph, check_links, check_shapes, verify
from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks

TEXT = """<ir_version: 10, opset_import: ["" : 18]>
g (float[N, 4] x) => (float[N, 3] y) <float[4, 3] w = {1,1,1,1,1,1,1,1,1,1,1,1}, float[N, 3] a>
{ [product] a = MatMul(x, w) [end] y = Relu(a) }"""


def model(text: str = TEXT) -> ir.Model:
    return ir.from_onnx_text(text)


def reorder(one: ir.Model) -> None:
    first = one.graph.node("product")
    one.graph.remove(first)
    one.graph.append(first)


def twice(one: ir.Model) -> None:
    one.graph.node("end").outputs[0].name = "a"


def forget_weight(one: ir.Model) -> None:
    one.graph.initializers.pop("w")


def forget_output(one: ir.Model) -> None:
    one.graph.remove(one.graph.node("end"))


@pytest.mark.parametrize(
    ("harm", "cause"),
    [
        (reorder, "end reads a before it is made"),
        (twice, "end makes a a second time"),
        (forget_weight, "product reads w before it is made"),
        (forget_output, "nothing makes the output y"),
    ],
)
def test_links(harm: Callable[[ir.Model], None], cause: str) -> None:
    one = model()
    check_links(one, "bad")
    harm(one)
    with pytest.raises(ModelError, match=f"^bad: {cause}; please report this with the model$"):
        check_links(one, "bad")


def unknown_attribute(one: ir.Model) -> None:
    one.graph.node("end").attributes["odd"] = ir.AttrInt64("odd", 1)


def wrong_shape(one: ir.Model) -> None:
    one.graph.node("product").outputs[0].shape = ir.Shape(["N", 5])


def wrong_type(one: ir.Model) -> None:
    one.graph.node("product").outputs[0].type = ir.TensorType(ir.DataType.INT64)


@pytest.mark.parametrize("harm", [unknown_attribute, wrong_shape, wrong_type])
def test_the_whole_graph(harm: Callable[[ir.Model], None]) -> None:
    one = model()
    check_graph(one, "bad")
    harm(one)
    with pytest.raises(ModelError, match=r"^bad: .*; please report this with the model$"):
        check_graph(one, "bad")


def no_shape(one: ir.Model) -> None:
    one.graph.node("product").outputs[0].shape = None


def no_type(one: ir.Model) -> None:
    one.graph.node("product").outputs[0].type = None


def other_rank(one: ir.Model) -> None:
    one.graph.node("product").outputs[0].shape = ir.Shape(["N"])


@pytest.mark.parametrize(
    ("harm", "cause"),
    [
        (no_shape, "no shape and type"),
        (no_type, "no shape and type"),
        (wrong_shape, r"\[N,5\]"),
        (other_rank, r"\[N\]"),
    ],
)
def test_shapes(harm: Callable[[ir.Model], None], cause: str) -> None:
    one = model()
    check_shapes(one, "bad")
    harm(one)
    with pytest.raises(ModelError, match=f"^bad: a states .*{cause}.*; please report this with the model$"):
        check_shapes(one, "bad")


def test_foreign_operators_are_checked_for_form_alone() -> None:
    text = TEXT.replace('["" : 18]', '["" : 18, "com.microsoft" : 1]').replace("Relu(a)", "com.microsoft.Odd(a)")
    one = model(text)
    no_shape(one)
    for check in (check_links, check_graph, check_shapes):
        check(one, "bad")
    one.graph.outputs[0].type = None
    with pytest.raises(ModelError, match=r"^bad: "):
        check_graph(one, "bad")


def test_a_check_leaves_the_graph_as_it_is() -> None:
    one = model(TEXT.replace(", float[N, 3] a>", ">"))
    large = ir.tensor(np.zeros(1000, np.float32), name="large")
    value = ir.Value(name="large", shape=ir.Shape([1000]), type=ir.TensorType(ir.DataType.FLOAT), const_value=large)
    one.graph.register_initializer(value)
    before, order = ir.to_onnx_text(one), list(one.graph.initializers)
    check_graph(one, "bad")
    assert (ir.to_onnx_text(one), list(one.graph.initializers)) == (before, order)
    assert one.graph.initializers["large"].const_value is large


def test_the_pass_is_named() -> None:
    one = model()
    wrong_shape(one)
    with pytest.raises(ModelError, match="the graph is not valid after pass insert_weight_masks: "):
        verify(one, InsertWeightMasks())
