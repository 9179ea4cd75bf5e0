import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.differentiating.insert_gradient_masks import InsertGradientMasks
from sparcl_compile.passes.differentiating.ort_training.replace_relu_gradients import ReplaceReluGradients
from sparcl_compile.passes.differentiating.prune_backward import PruneBackward
from tests.passes.differentiating.test_insert_gradient_masks import training_feeds_with_masks
from tests.support.numbers import check_same
from tests.support.small_model import changed_lines, run_twice
from tests.support.training_form import differentiated, gradients, loss_of

pytestmark = pytest.mark.training_build


def pruned() -> tuple[ir.Model, ir.Model]:
    forward, model = differentiated("ort-training")
    InsertGradientMasks()(model)
    PruneBackward()(model)
    return forward, model


def test_the_relu_gradient_is_a_product_with_a_step() -> None:
    _, model = pruned()
    before = run_twice(ReplaceReluGradients(), model)
    lines = changed_lines(before, model)
    assert lines[0] == '-["relu_Grad/ReluGrad_0"] b_grad = com.microsoft.ReluGrad (r_grad, r)'
    assert lines[1].startswith('+["relu_Grad/ReluGrad_0.step"] "b_grad.step" = HardSigmoid <')
    assert lines[2] == '+["relu_Grad/ReluGrad_0.product"] b_grad = Mul (r_grad, "b_grad.step")'
    assert len(lines) == 3
    made = [node.op_type for node in model.graph if node.metadata_props.get(PASS_KEY) == "replace_relu_gradients"]
    assert made == ["HardSigmoid", "Mul"]


def test_losses_and_gradients_are_the_same() -> None:
    forward, model = pruned()
    feeds = training_feeds_with_masks(model, forward)
    before = gradients(model, feeds), loss_of(model, feeds)
    ReplaceReluGradients()(model)
    after = gradients(model, feeds), loss_of(model, feeds)
    check_same(np.asarray(after[1]), np.asarray(before[1]))
    assert after[0].keys() == before[0].keys()
    for name, gradient in before[0].items():
        check_same(after[0][name], gradient, name)


@pytest.mark.parametrize("smallest", [np.finfo(np.float32).tiny, np.float32(3e-39), np.float32(1.0)])
def test_the_step_is_one_for_every_normal_number(smallest: np.float32) -> None:
    """The numbers of rule 1, on ORT's own kernel; the extremes of float32 included."""
    _, model = pruned()
    ReplaceReluGradients()(model)
    step = next(node for node in model.graph if node.op_type == "HardSigmoid")
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n"]) for name in ("y", "z")]
    settings = {name: step.attributes[name].as_float() for name in ("alpha", "beta")}
    node = onnx.helper.make_node("HardSigmoid", ["y"], ["z"], **settings)
    graph = onnx.helper.make_graph([node], "step", [values[0]], [values[1]])
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    session = ort.InferenceSession(proto.SerializeToString())
    y = np.array([0.0, smallest, 1e-20, 0.5, 1.0, 3e38, np.finfo(np.float32).max], np.float32)
    assert session.run(None, {"y": y})[0].tolist() == [0.0, *[1.0] * 6]
