import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.lowering.fold_fixed_norms import FoldFixedNorms
from sparcl_compile.passes.sparsifying.freeze_parameters import FreezeParameters
from tests.support.small_model import changed_lines, forward_model, run_twice


def fixed() -> ir.Model:
    model = forward_model()
    FreezeParameters(freeze=("conv.*", "bn.*"))(model)
    return model


def test_a_fixed_norm_becomes_a_product_and_a_sum() -> None:
    model = fixed()
    before = run_twice(FoldFixedNorms(), model)
    assert changed_lines(before, model) == [
        '-[bn] b = BatchNormalization (c, "bn.scale", "bn.bias", "bn.mean", "bn.var")',
        '+["bn.scale"] "b.scaled" = Mul (c, "bn.factor")',
        '+["bn.shift"] b = Add ("b.scaled", "bn.offset")',
    ]
    assert [name for name in model.graph.initializers if name.startswith("bn.")] == ["bn.factor", "bn.offset"]
    assert model.graph.initializers["bn.factor"].shape == ir.Shape([2, 1, 1])
    made = {node.name for node in model.graph if node.metadata_props.get(PASS_KEY) == "fold_fixed_norms"}
    assert made == {"bn.scale", "bn.shift"}


def test_the_function_stays() -> None:
    model = fixed()
    x = np.random.default_rng(3).normal(size=(2, 1, 4, 4)).astype(np.float32)
    before = ReferenceEvaluator(ir.to_proto(model)).run(None, {"x": x})
    FoldFixedNorms()(model)
    after = ReferenceEvaluator(ir.to_proto(model)).run(None, {"x": x})
    np.testing.assert_allclose(after[0], before[0], rtol=1e-5, atol=1e-6)


def test_a_norm_in_training_form_is_left_alone() -> None:
    assert not FoldFixedNorms()(forward_model()).modified


def test_statistics_that_are_no_constants_cannot_be_folded() -> None:
    model = fixed()
    mean = model.graph.initializers.pop("bn.mean")
    model.graph.inputs.append(mean)
    with pytest.raises(ValueError, match="bn: fixed statistics must be constants"):
        FoldFixedNorms().call(model)
