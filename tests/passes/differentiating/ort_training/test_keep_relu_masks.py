import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.interface.errors import PassOrderError
from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.passes.analysis.liveness.buffers import plan
from sparcl_compile.passes.differentiating.ort_training.keep_relu_masks import KeepReluMasks
from sparcl_compile.passes.differentiating.ort_training.replace_relu_gradients import ReplaceReluGradients
from sparcl_compile.passes.scheduling.order_backward import OrderBackward
from sparcl_compile.runtime.session.sessions import session_options
from tests.support.small_model import changed_lines, forward_model, run_twice

pytestmark = pytest.mark.training_build

TEXT = """
<ir_version: 10, opset_import: ["" : 18, "com.microsoft" : 1]>
g (float[N,64] x, float[64] w) => (float[N] loss, float[64] dw)
<float[1] loss_grad = {{1.0}}, int64[1] rows = {{0}}, int64[1] columns = {{1}},
 float[N,64] a, float[N,64] r, float[N,64] s, float[N,64] t, float[N,64] d, float[N,64] e, float[N,64] f>
{{
  [a] a = Add (x, w)
  [relu] r = Relu (a)
  [s] s = Softplus (r)
  [again] t = Softplus (s)
  [loss] loss = ReduceSum <keepdims = 0> (t, columns)
  [shape] shape = Shape (r)
  [d] d = Expand (loss_grad, shape)
  [e] e = {upstream}
  [relu_grad] f = com.microsoft.ReluGrad (e, r)
  [dw] dw = ReduceSum <keepdims = 0> (f, rows)
}}
"""


def backward_graph(upstream: str = "Neg (d)") -> ir.Model:
    return ir.from_onnx_text(TEXT.format(upstream=upstream))


def outputs(model: ir.Model, x: np.ndarray, w: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), session_options(1))
    return session.run(None, {"x": x, "w": w})


def test_the_gradient_reads_a_mask_of_bytes() -> None:
    model = backward_graph()
    before = run_twice(KeepReluMasks(), model)
    assert changed_lines(before, model) == [
        "-[relu_grad] f = com.microsoft.ReluGrad (e, r)",
        '+["relu_grad.mask"] "f.mask" = Greater (r, "relu.zero")',
        '+["relu_grad.product"] f = com.microsoft.DropoutGrad (e, "f.mask", "relu.ratio", "relu.training")',
    ]


@pytest.mark.parametrize("upstream", ["Mul (d, r)", "Mul (r, d)"])
def test_an_output_that_the_backward_reads_anyway_is_kept_as_it_is(upstream: str) -> None:
    assert not KeepReluMasks()(backward_graph(upstream)).modified


def test_gradients_that_are_replaced_already_are_no_silent_no_op() -> None:
    model = backward_graph()
    ReplaceReluGradients().call(model)
    with pytest.raises(PassOrderError) as refused:
        KeepReluMasks()(model)
    mend = "run keep_relu_masks before replace_relu_gradients"
    assert str(refused.value) == f"keep_relu_masks: the graph has replaced ReLU gradients already; {mend}"


def test_a_forward_graph_is_left_alone() -> None:
    assert not KeepReluMasks().call(forward_model()).modified


@pytest.mark.parametrize("read", ["a", "r"])
def test_gradients_are_the_same_to_the_bit(read: str) -> None:
    """The smallest and the largest numbers and the zeros of both signs included; from the ReLU's input as well."""
    model = backward_graph()
    value = next(out for node in model.graph for out in node.outputs if out.name == read)
    next(node for node in model.graph if node.op_type == "ReluGrad").replace_input_with(1, value)
    x = np.random.default_rng(0).normal(size=(7, 64)).astype(np.float32)
    x[:, :5] = [0.0, -0.0, np.finfo(np.float32).tiny, 1e-20, 3e38]
    feeds = (x, np.zeros(64, np.float32))
    before = outputs(model, *feeds)
    KeepReluMasks()(model)
    # Not a sum among its nodes: a product with 0 or 1 is exact on every processor.
    for found, wanted in zip(outputs(model, *feeds), before, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_an_infinite_gradient_stays_where_the_relu_let_it_through() -> None:
    model = backward_graph("Div (d, d)")
    node = next(node for node in model.graph if node.name == "e")
    node.replace_input_with(1, model.graph.inputs[0])
    KeepReluMasks()(model)
    x = np.full((1, 64), -0.0, np.float32)
    x[0, 0] = 1e-39
    _, dw = outputs(model, x, np.full(64, 1e-3, np.float32))
    assert np.isposinf(dw[0])
    assert np.isneginf(dw[1])


def test_the_mask_is_kept_in_place_of_the_output() -> None:
    """The gradient needs what the forward pass makes of r, so r, or its mask, waits for it."""
    model = backward_graph("Mul (d, t)")
    OrderBackward()(model)
    whole = plan(model, 32)
    assert [str(one.value.name) for one in whole.live] == ["d", "e", "r", "t"]
    model = backward_graph("Mul (d, t)")
    KeepReluMasks()(model)
    OrderBackward()(model)
    masked = plan(model, 32)
    assert [str(one.value.name) for one in masked.live] == ["d", "e", "t", "f.mask"]
    assert whole.peak_bytes - masked.peak_bytes == 32 * 64 * 3
