import onnx_ir as ir
import pytest

from sparcl_compile.passes.differentiating.insert_gradient_masks import InsertGradientMasks
from sparcl_compile.passes.differentiating.prune_backward import PruneBackward
from tests.passes.differentiating.test_insert_gradient_masks import training_feeds_with_masks
from tests.support.numbers import check_same
from tests.support.small_model import run_twice
from tests.support.training_form import TARGETS, differentiated, gradients, training_feeds


def products_with(model: ir.Model, name: str) -> list[str]:
    value = next(v for v in model.graph.inputs if v.name == name)
    return [str(usage.node.name) for usage in value.uses()]


@pytest.mark.parametrize("target", TARGETS)
def test_the_weight_mask_is_not_applied_under_the_gradient_mask(target: str) -> None:
    _, model = differentiated(target)
    InsertGradientMasks()(model)
    assert len(products_with(model, "conv.weight.mask")) == 2
    run_twice(PruneBackward(), model)
    assert products_with(model, "conv.weight.mask") == ["conv.weight.mask_weight"]
    assert "Identity" not in {node.op_type for node in model.graph}


@pytest.mark.parametrize("target", TARGETS)
def test_pruning_changes_no_gradient(target: str) -> None:
    forward, model = differentiated(target)
    InsertGradientMasks()(model)
    feeds = training_feeds_with_masks(model, forward)
    before = gradients(model, feeds)
    PruneBackward()(model)
    after = gradients(model, feeds)
    assert before.keys() == after.keys()
    for name in before:
        check_same(after[name], before[name], name)


@pytest.mark.parametrize("target", TARGETS)
def test_without_gradient_masks_the_weight_mask_stays_in_the_backward(target: str) -> None:
    forward, model = differentiated(target)
    feeds = training_feeds(model, forward)
    before = gradients(model, feeds)
    PruneBackward()(model)
    assert len(products_with(model, "conv.weight.mask")) == 2
    check_same(gradients(model, feeds)["conv.weight"], before["conv.weight"])


@pytest.mark.parametrize("target", TARGETS)
def test_batch_normalization_keeps_its_training_form(target: str) -> None:
    _, model = differentiated(target)
    PruneBackward()(model)
    norm = {"ort": "BatchNormalization", "ort-training": "BatchNormInternal"}[target]
    assert norm in {node.op_type for node in model.graph}
    assert {"bn.mean.next", "bn.var.next"} <= {str(v.name) for v in model.graph.outputs}


def test_an_input_gradient_that_nobody_reads_is_left_out() -> None:
    text = """<ir_version: 10, opset_import: ["" : 18, "com.microsoft" : 1]>
    g (float[N,2,4,4] dy, float[N,2,4,4] x, float[2,2,1,1] w)
    => (float[2,2,1,1] dw, float[N,2,4,4] read, float[2,2,1,1] dv) {
      [both] dx, dw = com.microsoft.ConvGrad <kernel_shape = [1, 1]> (dy, x, w)
      [other] read, dv = com.microsoft.ConvGrad <kernel_shape = [1, 1]> (dy, x, w)
    }"""
    model = ir.from_onnx_text(text)
    run_twice(PruneBackward(), model)
    assert [[out.name for out in node.outputs] for node in model.graph] == [["", "dw"], ["read", "dv"]]
    assert list(ir.to_proto(model).graph.node[0].output) == ["", "dw"]
