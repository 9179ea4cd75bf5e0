from pathlib import Path

import onnx_ir as ir
import pytest

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.liveness.buffers import plan
from sparcl_compile.passes.analysis.liveness.executor import TRAINING_BUILD, executor_of
from sparcl_compile.passes.analysis.liveness.order import execution_order
from sparcl_compile.passes.core.roles import set_role
from sparcl_compile.passes.scheduling.order_backward import OrderBackward
from sparcl_compile.targets.choice import EXECUTORS
from tests.passes.analysis.liveness.test_buffers import resnet18_training_model, training_model
from tests.support.numbers import check_same
from tests.support.small_model import forward_model, run_twice
from tests.support.training_form import TARGETS, differentiated, gradients, planned, training_feeds

TEXT = """
<ir_version: 10, opset_import: ["" : 18, "com.microsoft" : 1]>
g (float[N,64] x, float[64] w, float[64] "early_grad.accumulation.buffer", float[64] "late_grad.accumulation.buffer",
   bool[1] reset)
=> (float[N] loss, bool[1] "early_grad.accumulation.out", bool[1] "late_grad.accumulation.out")
<float[1] loss_grad = {1.0}, int64[1] rows = {0}, int64[1] columns = {1}, float zero = {0.0},
 float[N,64] a, float[N,64] b, float[N,64] d, float[N,64] e, bool[N,64] m, float[N,64] k, float[64] early,
 float[64] late>
{
  [a] a = Mul (x, w)
  [b] b = Relu (a)
  [loss] loss = ReduceSum <keepdims = 0> (b, columns)
  [shape] shape = Shape (b)
  [d] d = Expand (loss_grad, shape)
  [m] m = Greater (a, zero)
  [k] k = Cast <to = 1> (m)
  [e] e = Mul (d, k)
  [late] late = ReduceSum <keepdims = 0> (e, rows)
  [early] early = ReduceSum <keepdims = 0> (d, rows)
  [add_early] "early_grad.accumulation.out" = com.microsoft.InPlaceAccumulatorV2
    ("early_grad.accumulation.buffer", early, reset)
  [add_late] "late_grad.accumulation.out" = com.microsoft.InPlaceAccumulatorV2
    ("late_grad.accumulation.buffer", late, reset)
}
"""


def backward_graph() -> ir.Model:
    """Two gradients; a mask that only the backward reads; accumulators in the wrong order."""
    model = ir.from_onnx_text(TEXT)
    for value in model.graph.inputs:
        if str(value.name).endswith("accumulation.buffer"):
            set_role(value, Role.GRADIENT)
    return model


def names(model: ir.Model) -> list[str]:
    return [str(node.name) for node in model.graph]


def test_masks_go_in_front_of_the_gradient_and_accumulators_last() -> None:
    model = backward_graph()
    # At batch 1 no other order has a lower peak.
    run_twice(OrderBackward(batch=1), model)
    assert names(model) == ["a", "b", "loss", "shape", "m", "k", "d", "e", "late", "early", "add_late", "add_early"]
    order = [str(node.name) for node in execution_order(model.graph)]
    assert order.index("add_early") < order.index("m")
    assert order.index("k") == order.index("e") - 1


def test_no_node_is_changed() -> None:
    model = backward_graph()
    before = run_twice(OrderBackward(batch=1), model)
    texts = [ir.to_onnx_text(one).splitlines() for one in (before, model)]
    nodes = [sorted(text[text.index("{") :]) for text in texts]
    assert nodes[0] == nodes[1]


def test_a_forward_graph_is_left_alone() -> None:
    assert not OrderBackward().call(forward_model()).modified


def accumulators(model: ir.Model) -> list[ir.Node]:
    """The nodes that give the sums of the gradients, or say that one is done."""
    found = (value.producer() for value in model.graph.outputs if "_grad.accumulation." in str(value.name))
    return [node for node in found if node is not None]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["resnet", "group_norm_21"])
def test_the_peak_never_rises(name: str, target: str, tmp_path: Path) -> None:
    model = training_model(name, tmp_path, target=target)
    order = OrderBackward(executor=EXECUTORS[target])
    assert not order(model).modified
    shuffled = model.clone()
    last = accumulators(shuffled)
    shuffled.graph.remove(last)
    shuffled.graph.extend(last[::-1])
    worse = planned(shuffled, 32, target).peak_bytes
    assert order(shuffled).modified
    assert planned(shuffled, 32, target).peak_bytes == planned(model, 32, target).peak_bytes <= worse


@pytest.mark.parametrize("target", TARGETS)
def test_weight_gradients_do_not_wait(target: str, tmp_path: Path) -> None:
    model = resnet18_training_model(tmp_path, sparsity=0.0, gradient_sparsity=0.0, target=target)
    last = accumulators(model)
    model.graph.remove(last)
    model.graph.extend(last[::-1])
    # At batch 1 the weights outweigh the activations, and in the wrong order all their gradients are alive together.
    worse = planned(model, 1, target).peak_bytes
    OrderBackward(batch=1, executor=EXECUTORS[target])(model)
    # A weight gradient of `ort` is a node of its own, which no order computes before it is asked for: the worst order
    # has three quarters of the builder's worst peak. What is left is a copy of a layer's weights that is turned round.
    assert planned(model, 1, target).peak_bytes < (worse if target == "ort" else 0.8 * worse)


@pytest.mark.parametrize("target", TARGETS)
def test_the_gradients_are_the_same(target: str) -> None:
    forward, model = differentiated(target)
    feeds = training_feeds(model, forward)
    before = gradients(model, feeds)
    assert OrderBackward()(model).modified
    after = gradients(model, training_feeds(model, forward))
    for name, found in after.items():
        check_same(found, before[name], name)


@pytest.mark.training_build
def test_masks_of_bytes_are_made_in_the_forward_pass_where_weights_are_frozen(tmp_path: Path) -> None:
    options = {"sparsity": 0.0, "gradient_sparsity": 0.0, "target": "ort-training"}
    for folder in ("whole", "norm"):
        (tmp_path / folder).mkdir()
    whole = resnet18_training_model(tmp_path / "whole", **options)
    model = resnet18_training_model(tmp_path / "norm", **options, update="norm")
    training_build = executor_of(TRAINING_BUILD)
    order = [node.op_type for node in execution_order(model.graph, training_build)]
    masks = [place for place, op in enumerate(order) if op == "Greater"]
    assert len(masks) == order.count("Relu") > 10
    assert max(masks) < order.index("BatchNormalizationGrad")
    # Of 8 bytes an activation (the convolution's output and the ReLU's) 5 are left.
    found, kept = (plan(one, 32, training_build).peak_bytes for one in (model, whole))
    assert found < 0.7 * kept
