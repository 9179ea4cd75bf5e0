import onnx_ir as ir
import pytest
from onnx_ir.passes.common import ShapeInferencePass

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.core.missing_shapes import missing_shapes

HEAD = '<ir_version: 10, opset_import: ["" : 18, "com.microsoft" : 1]>\n'


def parse(body: str, values: str = "") -> ir.Model:
    return ir.from_onnx_text(f"{HEAD} g (float[2, 6] x) => (float[2, 6] y) {values} {{ {body} }}")


def found(model: ir.Model) -> dict[str | None, list[object] | None]:
    shapes = missing_shapes(model)
    return {value.name: None if one.shape is None else list(one.shape) for value, one in shapes.items()}


def test_a_graph_whose_shapes_are_known_is_not_inferred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnx.shape_inference.infer_shapes", None)
    assert found(parse("a = Relu(x) y = Neg(a)", "<float[2, 6] a>")) == {}


def test_only_what_is_missing_is_found_and_the_graph_is_left_alone() -> None:
    model = parse("a = Relu(x) b = Transpose(a) c = Neg(b) y = Transpose(c)", "<float[2, 6] a, float[6, 2] b>")
    assert found(model) == {"c": [6, 2]}
    assert [list(node.outputs[0].shape or ()) for node in model.graph] == [[2, 6], [6, 2], [], [2, 6]]


def test_types_are_found_too() -> None:
    (value,) = missing_shapes(parse("a = Greater(x, x) y = Cast<to=1>(a)")).values()
    assert value.dtype is ir.DataType.BOOL


def test_arithmetic_on_shapes_is_followed_although_its_own_shapes_are_known() -> None:
    body = "s = Shape(x) t = Gather<axis=0>(s, one) u = Concat<axis=0>(t, two) r = Reshape(x, u) y = Reshape(r, s)"
    values = "<int64[1] one = {1}, int64[1] two = {2}, int64[2] s, int64[1] t, int64[2] u>"
    assert found(parse(body, values)) == {"r": [6, 2]}


def test_other_shapes_than_the_stated_ones_can_be_taken() -> None:
    model = parse("a = Transpose(x) y = Transpose(a)", "<float[6, N] a>")
    x = model.graph.inputs[0]
    shapes = missing_shapes(model, lambda value: ir.Shape([5, 6]) if value is x else value.shape)
    assert [list(one.shape or ()) for one in shapes.values()] == [[6, 5]]


def test_unknown_operators_stop_the_inference_without_a_word() -> None:
    model = parse("a = com.microsoft.Odd(x) b = Neg(a) c = Relu(x) y = Add(b, c)")
    assert found(model) == {"c": [2, 6]}


def test_functions_that_call_themselves_are_refused() -> None:
    text = """<ir_version: 10, opset_import: ["": 18, "own": 1]>
        g (float[2, 6] x) => (float[2, 6] y) { a = own.F(x) y = Neg(a) }
        <domain: "own", opset_import: ["": 18, "own": 1]> F (x) => (y) { y = own.F(x) }"""
    with pytest.raises(ModelError, match=r"^the shapes of the graph cannot be inferred .*Cycle.*; export the model"):
        missing_shapes(ir.from_onnx_text(text))


def test_subgraphs_are_inferred_too() -> None:
    text = f"""{HEAD} g (float[2, 6] x, bool cond) => (float[2, 6] y) {{
        y = If(cond) <then_branch = yes () => (float[2, 6] t) {{ a = Transpose(x) t = Transpose(a) }},
                      else_branch = no () => (float[2, 6] e) {{ e = Neg(x) }}> }}"""
    assert found(ir.from_onnx_text(text))["a"] == [6, 2]


def test_it_finds_what_inference_of_the_whole_graph_finds() -> None:
    body = "a = Relu(x) b = Transpose(a) s = Shape(b) r = Reshape(a, s) p = ReduceSum<keepdims=0>(r) y = Add(x, p)"
    model = parse(body)
    shapes = missing_shapes(model)
    whole = model.clone()
    ShapeInferencePass()(whole)
    wanted = {out.name: (out.shape, out.dtype) for node in whole.graph for out in node.outputs if out.name != "y"}
    assert {value.name: (one.shape, one.dtype) for value, one in shapes.items()} == wanted
