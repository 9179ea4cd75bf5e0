import onnx_ir as ir
import pytest

from sparcl_compile.passes.differentiating.add_inside_input_gradients import AddInsideInputGradients
from tests.support.small_model import changed_lines, run_twice

HEAD = """
<ir_version: 10, opset_import: ["" : 18, "sparcl" : 1]>
backward (float[6,5,5,N] dy, float[9] w, int32[9] i, int32[7] r, float[4,5,5,N] g)
=> (float[4,5,5,N] dx{outputs})
<float[4,5,5,N] a, float[4,5,5,N] b{values}>
{{"""
GRADIENT = "[{0}] {1} = sparcl.SparseConvInputGrad <input_shape = [5, 5]> (dy, w, i, r)"


def graph(*lines: str, outputs: str = "", values: str = "") -> ir.Model:
    return ir.from_onnx_text(HEAD.format(outputs=outputs, values=values) + "\n" + "\n".join(lines) + "\n}")


@pytest.mark.parametrize("operands", ["a, g", "g, a"])
def test_text(operands: str) -> None:
    model = graph(GRADIENT.format("conv", "a"), f"[sum] dx = Sum ({operands})")
    before = run_twice(AddInsideInputGradients(), model)
    assert changed_lines(before, model) == [
        "-[conv] a = sparcl.SparseConvInputGrad <input_shape: ints = [5, 5]> (dy, w, i, r)",
        f"-[sum] dx = Sum ({operands})",
        "+[conv] dx = sparcl.SparseConvInputGrad <input_shape: ints = [5, 5]> (dy, w, i, r, g)",
    ]
    assert model.graph.outputs[0].shape == [4, 5, 5, "N"]


def test_the_later_of_two_takes_in_the_earlier() -> None:
    model = graph(GRADIENT.format("first", "a"), GRADIENT.format("second", "b"), "[sum] dx = Sum (b, a)")
    run_twice(AddInsideInputGradients(), model)
    assert [node.name for node in model.graph] == ["first", "second"]
    assert [value.name for value in model.graph[1].inputs if value] == ["dy", "w", "i", "r", "a"]


def test_a_chain_of_sums() -> None:
    lines = (GRADIENT.format("first", "a"), "[one] c = Sum (a, g)", GRADIENT.format("second", "b"))
    model = graph(*lines, "[two] dx = Sum (c, b)", values=", float[4,5,5,N] c")
    run_twice(AddInsideInputGradients(), model)
    assert [node.op_type for node in model.graph] == ["SparseConvInputGrad"] * 2


@pytest.mark.parametrize(
    ("lines", "more"),
    [
        (("[sum] dx = Sum (a, b, g)",), {}),
        (("[sum] dx = Sum (a, g)", "[other] h = Relu (a)"), {"outputs": ", float[4,5,5,N] h"}),
        (("[sum] dx = Sum (a, g)",), {"outputs": ", float[4,5,5,N] a"}),
        (("[column] s = ReduceSum <keepdims = 1> (g)", "[sum] dx = Sum (a, s)"), {"values": ", float[1,1,1,1] s"}),
    ],
    ids=["three", "read elsewhere", "an output", "broadcast"],
)
def test_what_stays_a_sum(lines: tuple[str, ...], more: dict[str, str]) -> None:
    model = graph(GRADIENT.format("conv", "a"), GRADIENT.format("twin", "b"), *lines, **more)
    assert not AddInsideInputGradients().call(model).modified


def test_an_unknown_shape_stays_a_sum() -> None:
    model = graph(GRADIENT.format("conv", "a"), "[sum] dx = Sum (a, g)")
    model.graph[0].outputs[0].shape = None
    assert not AddInsideInputGradients().call(model).modified
