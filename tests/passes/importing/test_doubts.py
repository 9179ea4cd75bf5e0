"""Which parameters of a file that tells nothing may be constants of the model."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sparcl_compile.passes.importing import doubts
from sparcl_compile.passes.sparsifying.freeze_parameters import FreezeParameters
from tests.support.gradient_check import imported


def built(body: str, **weights: tuple[int, ...]) -> onnx.ModelProto:
    text = f"""<ir_version: 10, opset_import: ["" : 18]>
    g (float[N,4,6] x) => (float[N,3] logits) {{
      {body}
      axes = Constant <value: tensor = int64[1] {{1}}> ()
      mean = ReduceMean <keepdims = 0> (t, axes)
      logits = MatMul (mean, head)
    }}"""
    for name, shape in {"head": (6, 3), "w": (6, 6), **weights}.items():
        declared = f"float{list(shape)} {name}".replace(" ", "", len(shape) - 1)
        text = text.replace("(float[N,4,6] x)", f"(float[N,4,6] x, {declared})", 1)
    proto = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    for name, shape in {"head": (6, 3), "w": (6, 6), **weights}.items():
        proto.graph.initializer.append(numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name))
    return proto


@pytest.mark.parametrize(
    ("body", "shape", "doubtful"),
    [
        ("h = MatMul (x, w)  t = Add (h, p)", (6,), False),  # a bias
        ("h = MatMul (x, w)  t = Add (h, p)", (4, 6), True),  # positions
        ("h = MatMul (x, w)  t = Mul (h, p)", (6,), True),  # a scale that no normalisation has
        ("h = MatMul (x, w)  r = Relu (h)  t = Add (r, p)", (6,), True),
        ("h = MatMul (x, w)  q = Mul (h, h)  s = Sqrt (q)  n = Div (h, s)  t = Mul (n, p)", (6,), False),
        ("h = MatMul (x, w)  t = Concat <axis = 1> (h, h)", (6,), False),
    ],
)
def test_only_what_is_read_as_constants_are_is_in_doubt(body: str, shape: tuple[int, ...], doubtful: bool) -> None:
    found = list(doubts.remarks(imported(built(body, p=shape), target="ort")))
    assert [line.split(" ")[0] for line in found] == ["p"] * doubtful


def test_what_does_not_train_is_in_no_doubt() -> None:
    model = imported(built("h = MatMul (x, w)  t = Add (h, p)", p=(4, 6)), target="ort")
    assert FreezeParameters(freeze=("p",))(model).modified
    assert not list(doubts.remarks(model))
