"""The input of a learned model in the type of the user's file."""

import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.passes.exporting.restore_input import RestoreInput
from sparcl_compile.passes.importing import verify

TOKENS = """
    <ir_version: 10, opset_import: ["" : 18]>
    g (float[N,3] x) => (float[N,3,2] logits) <float[4,2] e = {0,1,2,3,4,5,6,7}> {
        r = Round (x)
        w = Cast <to = 7> (r)
        logits = Gather (e, w)
    }
"""
BYTES = """
    <ir_version: 10, opset_import: ["" : 18]>
    g (float[N,2] x) => (float[N,2] logits) <float s = {4.0}> {
        d = Div (x, s)
        logits = Mul (d, x)
    }
"""


def run(model: ir.Model, x: np.ndarray) -> np.ndarray:
    return np.asarray(verify.session(ir.to_proto(model)).run(["logits"], {"x": x})[0])


def restored(text: str, kind: str) -> ir.Model:
    model = ir.from_onnx_text(text)
    assert RestoreInput(kind).call(model).modified
    assert not RestoreInput(kind).call(model).modified
    assert model.graph.inputs[0].dtype is ir.DataType.from_numpy(np.dtype(kind))
    return model


def test_tokens_go_to_their_table_at_once() -> None:
    model, x = restored(TOKENS, "int64"), np.array([[0, 3, 2]])
    assert [node.op_type for node in model.graph] == ["Gather"]
    np.testing.assert_array_equal(run(model, x), run(ir.from_onnx_text(TOKENS), x.astype(np.float32)))


def test_bytes_are_cast_once_for_all_readers() -> None:
    model, x = restored(BYTES, "uint8"), np.array([[250, 3]], np.uint8)
    assert [node.op_type for node in model.graph] == ["Cast", "Div", "Mul"]
    np.testing.assert_array_equal(run(model, x), run(ir.from_onnx_text(BYTES), x.astype(np.float32)))


@pytest.mark.parametrize("text", [TOKENS, BYTES])
def test_float32_stays(text: str) -> None:
    model = ir.from_onnx_text(text)
    assert not RestoreInput().call(model).modified
    assert model.graph.inputs[0].dtype is ir.DataType.FLOAT


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(FieldError, match="type"):
        RestoreInput("text").call(ir.from_onnx_text(BYTES))
