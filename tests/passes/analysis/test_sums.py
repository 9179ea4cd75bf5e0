"""Sums over the elements of a set."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sparcl_compile.passes.analysis.sums import sums_of_places
from tests.support.gradient_check import imported


@pytest.mark.parametrize(
    ("body", "counts"),
    [
        ("h = Relu (a)  s = ReduceSum <keepdims = 0> (h, places)", [8]),
        ("h = Relu (a)  k = ReduceSum (h, places)  s = Squeeze (k, places)", [8]),
        ("h = Relu (a)  s = ReduceMean <keepdims = 0> (h, places)", []),
        ("h = Relu (a)  k = ReduceSum <keepdims = 0> (h, places)  s = Div (k, eight)", []),
        ("h = Softmax <axis = 1> (a)  g = Mul (h, a)  s = ReduceSum <keepdims = 0> (g, places)", []),
        ("h = Relu (a)  k = ReduceSum <keepdims = 0> (h, places)  s = LayerNormalization (k, scale, shift)", []),
        ("h = ReduceSum <keepdims = 0> (a, features)  g = Relu (h)  s = Slice (g, zero, five, last)", []),
    ],
)
def test_only_sums_over_places_that_stay_as_large_are_found(body: str, counts: list[int]) -> None:
    text = f"""<ir_version: 10, opset_import: ["" : 18]>
    g (float[N,8,4] x, float[4,5] w, float[5,3] head, float[5] scale, float[5] shift) => (float[N,3] logits)
      <int64[1] places = {{1}}, int64[1] features = {{2}}, float eight = {{8}}, int64[1] zero = {{0}},
       int64[1] five = {{5}}, int64[1] last = {{1}}> {{
      a = MatMul (x, w)
      {body}
      logits = MatMul (s, head)
    }}"""
    proto = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    for name, shape in {"w": (4, 5), "head": (5, 3), "scale": (5,), "shift": (5,)}.items():
        proto.graph.initializer.append(numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name))
    assert [count for _, count in sums_of_places(imported(proto, target="ort").graph)] == counts
