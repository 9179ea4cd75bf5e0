from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.interface.names import Role, accumulator_name
from sparcl_compile.passes.core.contract import IR_VERSION
from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.differentiating.ort_training.differentiate_by_builder import DifferentiateByBuilder
from sparcl_compile.runtime.session.sessions import session_options
from tests.passes.analysis.liveness.test_buffers import random_feeds, training_model
from tests.support.small_model import run_twice
from tests.support.training_form import gradients, loss_of, training_feeds, with_loss

pytestmark = pytest.mark.training_build


def test_parameters_get_accumulators_and_roles_survive() -> None:
    model = with_loss()
    run_twice(DifferentiateByBuilder(), model)
    roles = {str(v.name): role_of(v) for v in model.graph.inputs}
    assert not [name for name in ("conv.weight", "head.bias") if roles[name] is not Role.PARAMETER]
    assert roles["conv.weight.mask"] is Role.MASK
    assert roles["bn.mean"] is Role.RUNNING_STAT
    assert roles["sample_score"] is Role.SAMPLE
    assert roles[accumulator_name("conv.weight")] is Role.GRADIENT
    assert accumulator_name("bn.mean") not in roles
    assert [w.name for w in masked_layers(model)] == ["conv.weight"]


def test_every_node_keeps_or_gets_its_origin() -> None:
    model = with_loss()
    DifferentiateByBuilder()(model)
    origins = {str(node.name): node.metadata_props.get(PASS_KEY) for node in model.graph}
    assert origins["conv.weight.mask_weight"] == "insert_weight_masks"
    assert origins["conv"] is None
    backward = [node for node in model.graph if node.op_type == "ConvGrad"]
    assert [node.metadata_props.get(PASS_KEY) for node in backward] == ["differentiate_by_builder"]


def test_versions_are_what_ort_loads() -> None:
    model = with_loss()
    DifferentiateByBuilder()(model)
    assert model.ir_version == IR_VERSION
    assert dict(model.opset_imports) == {"": 18, "com.microsoft": 1}


def test_gradients_equal_finite_differences_and_masked_ones_are_zero() -> None:
    forward = with_loss()
    model = forward.clone()
    DifferentiateByBuilder()(model)
    feeds = training_feeds(model, forward)
    found = gradients(model, feeds)
    forward_feeds = {str(v.name): feeds[str(v.name)] for v in forward.graph.inputs}
    mask = feeds["conv.weight.mask"]
    assert not found["conv.weight"][mask == 0].any()
    for name in ("conv.weight", "bn.scale", "head.bias"):
        index = np.unravel_index(np.argmax(np.abs(found[name])), found[name].shape)
        losses = []
        for shift in (1e-2, -1e-2):
            shifted = forward.clone()
            data = shifted.graph.initializers[name].const_value.numpy().copy()
            data[index] += shift
            shifted.graph.initializers[name].const_value = ir.tensor(data, name=name)
            losses.append(loss_of(shifted, forward_feeds))
        assert found[name][index] == pytest.approx((losses[0] - losses[1]) / 2e-2, rel=2e-2)


def test_a_graph_that_cannot_be_differentiated_is_refused() -> None:
    model = with_loss()
    relu = next(node for node in model.graph if node.name == "relu")
    relu.op_type = "Softplus"
    with pytest.raises(ModelError, match="gradient builder refuses"):
        DifferentiateByBuilder().call(model)


def test_an_operator_of_an_unknown_domain_is_refused() -> None:
    model = with_loss()
    next(node for node in model.graph if node.name == "relu").domain = "own"
    with pytest.raises(ModelError, match=r"gradient builder refuses this graph: .*domain own"):
        DifferentiateByBuilder().call(model)


def test_a_pool_over_no_number_does_not_reach_beyond_its_plane(tmp_path: Path) -> None:
    model = training_model("cnn_bn", tmp_path, target="ort-training")
    model.functions.clear()
    pools = [node for node in model.graph if node.op_type == "MaxPoolGrad"]
    assert pools
    model.graph.outputs[:] = [value for node in pools if (value := node.inputs[1]) is not None]
    feeds = random_feeds(model)
    feeds["x"][:] = np.nan
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), session_options(1))
    for indices in session.run(None, feeds):
        assert indices.min() >= 0
