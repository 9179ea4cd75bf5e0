import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.interface.names import Role, gradient_mask_name
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.differentiating.insert_gradient_masks import InsertGradientMasks
from tests.support.numbers import check_same
from tests.support.small_model import changed_lines, run_twice
from tests.support.training_form import TARGETS, differentiated, gradients, training_feeds


@pytest.mark.parametrize("target", TARGETS)
def test_the_gradient_is_masked_in_front_of_its_accumulator(target: str) -> None:
    _, model = differentiated(target)
    before = run_twice(InsertGradientMasks(gradient_sparsity=0.8), model)
    changes = changed_lines(before, model)
    assert changes[0].startswith("-")
    assert "conv.weight_grad.accumulation.buffer" in changes[0]
    assert ("InPlaceAccumulatorV2" in changes[0]) == (target == "ort-training")
    assert changes[1] == (
        '+["conv.weight.mask_gradient"] "conv.weight_grad.masked" = '
        'Mul ("conv.weight_grad", "conv.weight.gradient_mask")'
    )
    assert '"conv.weight_grad.masked"' in changes[2]
    assert len(changes) == 3
    assert [v.name for v in values_with_role(model, Role.GRADIENT_MASK)] == ["conv.weight.gradient_mask"]
    made = [node.name for node in model.graph if node.metadata_props.get(PASS_KEY) == "insert_gradient_masks"]
    assert made == ["conv.weight.mask_gradient"]


@pytest.mark.parametrize("target", TARGETS)
def test_only_unmasked_gradients_arrive(target: str) -> None:
    forward, model = differentiated(target)
    whole = gradients(model, training_feeds(model, forward))
    InsertGradientMasks(gradient_sparsity=0.8)(model)
    feeds = training_feeds_with_masks(model, forward)
    found = gradients(model, feeds)
    mask = feeds["conv.weight.gradient_mask"]
    check_same(found["conv.weight"], whole["conv.weight"] * mask)
    assert not found["conv.weight"][mask == 0].any()
    check_same(found["head.weight"], whole["head.weight"])


def training_feeds_with_masks(model: ir.Model, forward: ir.Model) -> dict[str, np.ndarray]:
    mask = forward.graph.initializers["conv.weight.mask"].const_value.numpy().copy()
    mask.reshape(-1)[np.flatnonzero(mask)[::2]] = 0
    name = gradient_mask_name("conv.weight")
    hidden = next(value for value in model.graph.inputs if value.name == name)
    model.graph.inputs.remove(hidden)
    feeds = training_feeds(model, forward)
    model.graph.inputs.append(hidden)
    return {**feeds, name: mask}


def test_gradient_sparsity_zero_changes_nothing() -> None:
    _, model = differentiated()
    assert not InsertGradientMasks(gradient_sparsity=0.0)(model).modified
