"""Pads and Resizes of some axes, and Pads that go on at the other end, are trained through like those of all axes."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.support.gradient_check import by_rules, imported, worst_gradient

TOLERANCE = 1e-3
BODY = """<ir_version: 10, opset_import: ["" : OPSET]>
    g (float[N,2,6,5] x) => (float[N,3] logits) {
      axes = Constant <value: tensor = int64[2] {-2, 3}> ()
      pads = Constant <value: tensor = int64[4] {1, 2, 0, 1}> ()
      scales = Constant <value: tensor = float[2] {1.5, 2}> ()
      sizes = Constant <value: tensor = int64[2] {9, 7}> ()
      c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w)
      made = NODE
      r = Relu (made)
      p = Conv <kernel_shape = [2, 2]> (r, v)
      m = GlobalAveragePool (p)
      f = Flatten (m)
      logits = MatMul (f, head)
    }"""


def built(node: str, opset: int) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(BODY.replace("NODE", node).replace("OPSET", str(opset)))
    rng = np.random.default_rng(0)
    for name, shape in {"w": (4, 2, 3, 3), "v": (4, 4, 2, 2), "head": (4, 3)}.items():
        proto.graph.initializer.append(numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name))
    return proto


@pytest.mark.parametrize("opset", [18, 20])
@pytest.mark.parametrize(
    "node",
    [
        "Pad (c, pads, , axes)",
        'Pad <mode = "reflect"> (c, pads, , axes)',
        'Pad <mode = "edge"> (c, pads, , axes)',
        'Resize <mode = "linear", axes = [2, 3]> (c, , scales)',
        'Resize <mode = "cubic", axes = [3, 2]> (c, , scales)',
        'Resize <mode = "nearest", axes = [2, 3]> (c, , , sizes)',
    ],
)
def test_some_axes_are_all_with_nothing_done_to_the_others(node: str, opset: int) -> None:
    model = imported(built(node, opset), target="ort")  # the import compares with the file
    worst, parameter = worst_gradient(model, by=by_rules)
    assert worst < TOLERANCE, parameter


@pytest.mark.parametrize("form", ["c, pads, , axes", "c, whole"])
def test_a_pad_that_wraps_is_slices_that_are_joined(form: str) -> None:
    """As PyTorch's exporter writes a circular padding, from opset 19 on."""
    whole = "whole = Constant <value: tensor = int64[8] {0, 0, 1, 2, 0, 0, 0, 1}> () made ="
    proto = built(f'Pad <mode = "wrap"> ({form})', 19)
    if "whole" in form:
        text = BODY.replace("made =", whole).replace("NODE", f'Pad <mode = "wrap"> ({form})').replace("OPSET", "19")
        graph = onnx.parser.parse_model(text)
        graph.graph.initializer.extend(proto.graph.initializer)
        proto = graph
    model = imported(proto, target="ort")
    assert "Pad" not in [node.op_type for node in model.graph]
    worst, parameter = worst_gradient(model, by=by_rules)
    assert worst < TOLERANCE, parameter
