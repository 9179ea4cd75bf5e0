"""The place, the names and the statements of inserted nodes."""

import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.passes.core.edit import Names
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.values import BOOL, FLOAT, INT64

TEXT = """
<ir_version: 10, opset_import: ["" : 18]>
g (float[N,4] x) => (float[N,4] z) {
  [first] y = Relu (x)
  [last] z = Neg (y)
}
"""


def graph() -> ir.Graph:
    return ir.from_onnx_text(TEXT).graph


def node(g: ir.Graph, name: str) -> ir.Node:
    return next(node for node in g if node.name == name)


def order(g: ir.Graph) -> list[str | None]:
    return [node.name for node in g]


def test_nodes_stand_where_they_are_asked_for_in_the_order_of_the_calls() -> None:
    g = graph()
    insert = Inserter("a_pass", g)
    x = g.inputs[0]
    insert.op("Abs", x, name="end")
    insert.before(node(g, "last"))
    insert.op("Abs", x, name="before1")
    insert.op("Abs", x, name="before2")
    insert.behind(node(g, "first"))
    insert.op("Abs", x, name="behind1")
    insert.op("Abs", x, name="behind2")
    assert order(g) == ["first", "behind1", "behind2", "before1", "before2", "last", "end"]


def test_a_node_carries_its_pass_its_name_and_its_attributes() -> None:
    g = graph()
    out = Inserter("a_pass", g).op("Softmax", g.inputs[0], name="p", node_name="softmax", axis=1)
    made = out.producer()
    assert made is not None
    assert (made.name, out.name, made.metadata_props[PASS_KEY]) == ("softmax", "p", "a_pass")
    assert made.attributes["axis"].as_int() == 1


@pytest.mark.parametrize(
    ("stated", "shape", "dtype"),
    [
        ({}, None, None),
        ({"shape": ["N", 4]}, ir.Shape(["N", 4]), FLOAT),
        ({"shape": []}, ir.Shape([]), FLOAT),
        ({"shape": [2], "dtype": INT64}, ir.Shape([2]), INT64),
        ({"dtype": BOOL}, None, BOOL),
        ({"like": "x"}, ir.Shape(["N", 4]), FLOAT),
        ({"like": "x", "dtype": BOOL}, ir.Shape(["N", 4]), BOOL),
        ({"like": "x", "shape": [4]}, ir.Shape([4]), FLOAT),
    ],
)
def test_shape_and_type_are_what_was_stated(
    stated: dict[str, object], shape: ir.Shape | None, dtype: ir.TensorType | None
) -> None:
    g = graph()
    given = {**stated, **({"like": g.inputs[0]} if "like" in stated else {})}
    out = Inserter("a_pass", g).op("Abs", g.inputs[0], name="out", **given)  # type: ignore[arg-type]
    assert (out.shape, out.type) == (shape, dtype)


def test_names_are_kept_unless_free_ones_are_asked_for() -> None:
    g = graph()
    assert Inserter("a_pass", g).op("Abs", g.inputs[0], name="y").name == "y"
    g = graph()
    names = Names(g)
    found = [Inserter("a_pass", g, names).op("Abs", g.inputs[0], name="y") for _ in range(2)]
    assert [value.name for value in found] == ["y_1", "y_2"]
    assert [value.producer().name for value in found] == ["y_1", "y_2"]  # type: ignore[union-attr]


def test_without_a_name_it_is_that_of_the_place_and_the_operator() -> None:
    g = graph()
    insert = Inserter("a_pass", g, Names(g)).before(node(g, "last"))
    assert [insert.op("Abs", g.inputs[0]).name for _ in range(2)] == ["last.abs", "last.abs_1"]
    with pytest.raises(ValueError, match="the inserter is at the end of the graph"):
        Inserter("a_pass", g).op("Abs", g.inputs[0])


def test_further_outputs_are_numbered() -> None:
    g = graph()
    out = Inserter("a_pass", g).op("TopK", g.inputs[0], g.inputs[0], name="top", outputs=2)
    assert [value.name for value in out.producer().outputs] == ["top", "top.1"]  # type: ignore[union-attr]


def test_constants_are_named_after_the_place_and_never_shared() -> None:
    g = graph()
    insert = Inserter("a_pass", g, Names(g)).before(node(g, "last"))
    one, other = insert.const("half", 0.5), insert.const("half", 0.5)
    axes = insert.ints("axes", [1, 2])
    assert [one.name, other.name, axes.name] == ["last.half", "last.half_1", "last.axes"]
    assert set(g.initializers) == {"last.half", "last.half_1", "last.axes"}
    assert (one.dtype, axes.dtype) == (ir.DataType.FLOAT, ir.DataType.INT64)
    np.testing.assert_array_equal(axes.const_value.numpy(), [1, 2])  # type: ignore[union-attr]


def test_a_replacement_takes_over_readers_name_shape_and_type() -> None:
    g = graph()
    insert = Inserter("a_pass", g).before(node(g, "last"))
    insert.replace(*insert.node("Abs", node(g, "first").outputs[0], name="abs").outputs)
    (out,) = g.outputs
    assert order(g) == ["first", "abs"]
    assert (out.name, out.shape, out.type, out.producer()) == ("z", ir.Shape(["N", 4]), FLOAT, node(g, "abs"))


def test_an_input_that_replaces_a_node_keeps_its_name() -> None:
    g = graph()
    Inserter("a_pass", g).before(node(g, "first")).replace(g.inputs[0])
    assert order(g) == ["last"]
    assert node(g, "last").inputs[0] is g.inputs[0]
    assert g.inputs[0].name == "x"


def test_a_node_whose_other_output_is_read_is_not_replaced() -> None:
    g = graph()
    insert = Inserter("a_pass", g).before(node(g, "last"))
    both = insert.op("TopK", g.inputs[0], g.inputs[0], name="top", outputs=2).producer()
    assert both is not None
    insert.op("Abs", both.outputs[1], name="reader")
    with pytest.raises(ValueError, match=r"still being used|uses|used"):
        insert.before(both).replace(g.inputs[0])
