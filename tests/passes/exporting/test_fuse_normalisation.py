"""fuse_normalisation: BatchNormalization goes into the layer before it, where that is legal."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.roles import set_role, values_with_role
from sparcl_compile.passes.emitting.emit import eval_model, initial_state
from sparcl_compile.passes.exporting.freeze_state import FreezeState
from sparcl_compile.passes.exporting.fuse_normalisation import FuseNormalisation
from tests.support.small_model import changed_lines, forward_model, run_twice


def constant_model() -> ir.Model:
    model = forward_model()
    evaluation = eval_model(model)
    FreezeState(initial_state(model))(evaluation)
    return evaluation


def answer(model: ir.Model, shape: tuple[int, ...]) -> np.ndarray:
    x = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    return np.asarray(ReferenceEvaluator(ir.to_proto(model)).run(["logits"], {"x": x})[0])


def test_text() -> None:
    model = constant_model()
    before = run_twice(FuseNormalisation(), model)
    assert changed_lines(before, model) == [
        '-[conv] c = Conv <pads: ints = [1, 1, 1, 1]> (x, "conv.weight")',
        '-[bn] b = BatchNormalization (c, "bn.scale", "bn.bias", "bn.mean", "bn.var")',
        '+[conv] b = Conv <pads: ints = [1, 1, 1, 1]> (x, "conv.weight", "conv.bias")',
    ]
    np.testing.assert_allclose(answer(model, (3, 1, 4, 4)), answer(before, (3, 1, 4, 4)), rtol=1e-5)
    assert set(model.graph.initializers) == {"conv.weight", "conv.bias", "head.weight", "head.bias"}
    assert len(list(values_with_role(model, Role.PARAMETER))) == 4


PARTS = "float[C] s, float[C] b, float[C] m, float[C] v"
LAYERS = {
    "Conv": ("float[N,4,5,5] x, float[6,2,3,3] w, float[6] bias", "Conv <group = 2> (x, w, bias)", (2, 4, 5, 5), 6),
    "ConvTranspose": ("float[N,4,5,5] x, float[4,6,2,2] w", "ConvTranspose (x, w)", (2, 4, 5, 5), 6),
    "Gemm": ("float[N,5] x, float[5,4] w, float[4] bias", "Gemm <alpha = 0.5, beta = 3.0> (x, w, bias)", (3, 5), 4),
    "Gemm transposed": ("float[N,5] x, float[4,5] w", "Gemm <transB = 1> (x, w)", (3, 5), 4),
}


def layered(kind: str, rest: str = "logits = BatchNormalization <epsilon = 0.01> (c, s, b, m, v)") -> ir.Model:
    """One layer and what follows, all weights constant and seeded."""
    inputs, layer, _, channels = LAYERS[kind]
    header = f"g ({inputs}, {PARTS.replace('C', str(channels))}) => (float logits)"
    model = ir.from_onnx_text(f'<ir_version: 10, opset_import: ["" : 18]>\n{header} {{\n c = {layer}\n {rest}\n}}')
    rng = np.random.default_rng(3)
    for value in list(model.graph.inputs[1:]):
        data = rng.normal(size=[int(d) for d in value.shape or ()]).astype(np.float32)
        value.const_value = ir.tensor(np.abs(data) if value.name == "v" else data, name=value.name)
        set_role(value, Role.PARAMETER)
        model.graph.inputs.remove(value)
        model.graph.register_initializer(value)
    return model


@pytest.mark.parametrize("kind", LAYERS)
def test_layers(kind: str) -> None:
    model, shape = layered(kind), LAYERS[kind][2]
    expected = answer(model, shape)
    assert FuseNormalisation()(model).modified
    assert [node.op_type for node in model.graph] == [kind.split()[0]]
    np.testing.assert_allclose(answer(model, shape), expected, rtol=1e-4, atol=1e-5)


ALONE: Mapping[str, str] = {
    "the layer's result is read elsewhere": "n = BatchNormalization (c, s, b, m, v)\n logits = Add (n, c)",
    "an activation stands between": "r = Relu (c)\n logits = BatchNormalization (r, s, b, m, v)",
    "the scale is no constant": "z = Mul (s, c0)\n logits = BatchNormalization (c, z, b, m, v)",
}


@pytest.mark.parametrize("case", ALONE)
def test_left_alone(case: str) -> None:
    model = layered(
        "Gemm", ALONE[case].replace("z = Mul (s, c0)", "c0 = ReduceMax <keepdims = 0> (x)\n z = Mul (s, c0)")
    )
    text = ir.to_onnx_text(model)
    assert not FuseNormalisation()(model).modified
    assert ir.to_onnx_text(model) == text


def test_a_shared_weight_keeps_both_normalisations() -> None:
    rest = "n = BatchNormalization (c, s, b, m, v)\n d = Gemm (x, w)\n logits = Add (n, d)"
    model = layered("Gemm", rest)
    expected = answer(model, (3, 5))
    assert not FuseNormalisation()(model).modified
    np.testing.assert_array_equal(answer(model, (3, 5)), expected)


def test_what_cannot_be_fused_keeps_its_name() -> None:
    rest = "n = BatchNormalization (c, s, b, m, v)\n r = Relu (n)\n logits = BatchNormalization (r, s, b, m, v)"
    model = layered("Gemm", rest)
    names = [node.name for node in model.graph]
    model.graph[3].name, model.graph[2].name, model.graph[0].name = "last", "relu", "layer"
    assert FuseNormalisation()(model).modified, names
    assert [(node.name, node.op_type) for node in model.graph] == [
        ("layer", "Gemm"), ("relu", "Relu"), ("last", "BatchNormalization")
    ]  # fmt: skip
