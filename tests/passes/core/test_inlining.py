"""Inlined calls are those of onnx-ir's pass, names included."""

import onnx
import onnx_ir as ir
import pytest
from onnx_ir.passes.common import InlinePass

from sparcl_compile.passes.core.inlining import inline_calls

MODEL = """<ir_version: 10, opset_import: ["" : 18, "own" : 1]>
g (float[N] a, float[N] b, float[N] doubled_3) => (float[N] "a.next", float[N] kept, float[N] "b.next") {{
  {calls}
}}
<opset_import: ["" : 18], domain: "own">
step (w, g) => (w_next, doubled) {{
  two = Constant <value_float: float = 2.0> ()
  doubled = Mul (g, two)
  w_next = Sub (w, doubled)
}}"""

ONE = '["a.step"] "a.next", kept = own.step (a, b) "b.next" = Neg (doubled_3)'
THREE = """["a.step"] "a.next", first = own.step (a, b)
  [node_2] between = Relu (first)
  ["b.step"] "b.next", second = own.step (b, between)
  [third] kept, rest = own.step (second, doubled_3)"""


@pytest.mark.parametrize("calls", [ONE, THREE])
def test_it_is_the_pass_of_onnx_ir(calls: str) -> None:
    ours, theirs = (ir.from_onnx_text(MODEL.format(calls=calls)) for _ in range(2))
    for model in (ours, theirs):
        for node in model.graph:
            node.metadata_props["made by"] = "the caller"
            node.outputs[0].shape = ir.Shape(["N"])
    inline_calls(ours, next(iter(ours.functions.values())))
    InlinePass()(theirs)
    assert ir.to_proto(ours) == ir.to_proto(theirs)
    assert not ours.functions
    onnx.checker.check_model(ir.to_proto(ours), full_check=True)


def test_a_function_that_nobody_calls_goes() -> None:
    model = ir.from_onnx_text(MODEL.format(calls='"a.next" = Neg (a) kept = Neg (b) "b.next" = Neg (b)'))
    inline_calls(model, next(iter(model.functions.values())))
    assert not model.functions
    assert len(model.graph) == 3
