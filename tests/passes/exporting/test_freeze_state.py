"""freeze_state: learned state becomes constants, and what depends on constants alone is computed."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.contract import CONSTANTS
from sparcl_compile.passes.core.roles import role_of, set_role, values_with_role
from sparcl_compile.passes.emitting.emit import eval_model, initial_state
from sparcl_compile.passes.exporting.freeze_state import FreezeState
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from tests.support.numbers import check_same
from tests.support.small_model import changed_lines, forward_model, run_twice


def masked() -> tuple[ir.Model, dict[str, np.ndarray]]:
    """The evaluation graph of the small model with one mask, and its state."""
    model = forward_model()
    InsertWeightMasks(sparsity=0.5)(model)
    return eval_model(model), initial_state(model)


def logits(model: ir.Model, **feeds: np.ndarray) -> np.ndarray:
    x = np.random.default_rng(1).normal(size=(3, 1, 4, 4)).astype(np.float32)
    return np.asarray(ReferenceEvaluator(ir.to_proto(model)).run(["logits"], {"x": x, **feeds})[0])


def test_text() -> None:
    model, state = masked()
    before = run_twice(FreezeState(state), model)
    assert changed_lines(before, model) == [
        '-["conv.weight.mask_weight"] "conv.weight.masked" = Mul ("conv.weight", "conv.weight.mask")',
        '-[conv] c = Conv <pads: ints = [1, 1, 1, 1]> (x, "conv.weight.masked")',
        '+[conv] c = Conv <pads: ints = [1, 1, 1, 1]> (x, "conv.weight")',
    ]
    assert [value.name for value in model.graph.inputs] == ["x"]
    assert "conv.weight.mask" not in model.graph.initializers


def test_the_mask_is_in_the_weight_and_the_answer_is_the_same() -> None:
    model, state = masked()
    state["conv.weight"] = state["conv.weight"] + 1  # also where the mask is 0, so that it must be applied
    expected = logits(model, **state)
    FreezeState(state)(model)
    weight = model.graph.initializers["conv.weight"]
    assert weight.const_value is not None
    np.testing.assert_array_equal(weight.const_value.numpy(), state["conv.weight"] * state["conv.weight.mask"])
    check_same(logits(model), expected)


def test_roles_stay() -> None:
    model, state = masked()
    FreezeState(state)(model)
    assert {v.name for v in values_with_role(model, Role.PARAMETER)} == {
        "conv.weight", "bn.scale", "bn.bias", "head.weight", "head.bias",
    }  # fmt: skip
    assert role_of(model.graph.initializers["bn.mean"]) is Role.RUNNING_STAT


CHAIN = """
<ir_version: 10, opset_import: ["" : 18]>
g (float[N,4] x, float[4,3] w, float[4,1] rows, float[3] cols, float[3] b) => (float[N,3] logits)
<float[4,3] wr, float[4,3] wrc, float[N,3] y>
{
  wr = Mul (w, rows)
  wrc = Mul (wr, cols)
  y = MatMul (x, wrc)
  logits = Add (y, b)
}
"""


def chain() -> ir.Model:
    model = ir.from_onnx_text(CHAIN)
    for value in model.graph.inputs[1:]:
        set_role(value, Role.PARAMETER if value.name in ("w", "b") else Role.MASK)
    return model


def test_a_chain_of_products_takes_the_name_of_its_one_parameter() -> None:
    state = {name: np.full(shape, 2, np.float32) for name, shape in (("w", (4, 3)), ("rows", (4, 1)), ("cols", 3))}
    state["b"] = np.zeros(3, np.float32)
    model = chain()
    assert FreezeState(state)(model).modified
    assert [node.op_type for node in model.graph] == ["MatMul", "Add"]
    assert set(model.graph.initializers) == {"w", "b"}
    tensor = model.graph.initializers["w"].const_value
    assert tensor is not None
    np.testing.assert_array_equal(tensor.numpy(), np.full((4, 3), 8, np.float32))


def test_a_parameter_that_others_read_keeps_its_name() -> None:
    model = ir.from_onnx_text(CHAIN.replace("logits = Add (y, b)", "z = MatMul (x, w)\n logits = Add (y, z)"))
    for value in model.graph.inputs[1:]:
        set_role(value, Role.PARAMETER)
    state = {
        name: np.ones(shape, np.float32) for name, shape in (("w", (4, 3)), ("rows", (4, 1)), ("cols", 3), ("b", 3))
    }
    FreezeState(state)(model)
    assert set(model.graph.initializers) == {"w", "wrc"}


def test_random_operators_stay() -> None:
    text = CHAIN.replace("y = MatMul (x, wrc)", "n = RandomNormalLike (wrc)\n y = MatMul (x, n)")
    model = ir.from_onnx_text(text)
    for value in model.graph.inputs[1:]:
        set_role(value, Role.PARAMETER)
    state = {
        name: np.ones(shape, np.float32) for name, shape in (("w", (4, 3)), ("rows", (4, 1)), ("cols", 3), ("b", 3))
    }
    FreezeState(state)(model)
    assert [node.op_type for node in model.graph] == ["RandomNormalLike", "MatMul", "Add"]


def test_a_state_without_a_tensor() -> None:
    model, state = masked()
    del state["conv.weight.mask"]
    with pytest.raises(KeyError, match=r"conv\.weight\.mask"):
        FreezeState(state)(model)


def test_constants_are_noted_and_what_is_made_of_state_is_not() -> None:
    fixed = """<ir_version: 10, opset_import: ["" : 18]>
    g (float[N,4] x, float[3] b) => (float[N,3] logits)
    <float[4,3] c = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, float[3] d = {1, 2, 3}, float[3] f = {4, 5, 6}> {
      scaled = Mul (c, d)
      shift = Mul (b, f)
      y = MatMul (x, scaled)
      logits = Add (y, shift)
    }"""
    model = ir.from_onnx_text(fixed)
    set_role(model.graph.inputs[1], Role.PARAMETER)
    run_twice(FreezeState({"b": np.ones(3, np.float32)}), model)
    assert model.graph.initializers.keys() == {"scaled", "b"}
    assert model.metadata_props[CONSTANTS] == "scaled"
