import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.passes.analysis.liveness.order import execution_order
from sparcl_compile.passes.analysis.liveness.sizes import at_batch
from sparcl_compile.passes.differentiating.pack_relu_masks import PackReluMasks
from sparcl_compile.passes.scheduling.order_backward import OrderBackward
from sparcl_compile.runtime.session.sessions import session_options
from tests.support.small_model import changed_lines, forward_model, run_twice

STEEP = "3.4028234663852886e+38"
TEXT = """
<ir_version: 10, opset_import: ["" : 18]>
g (float[N,64] x, float[64] w) => (float[N] loss, float[64] dw)
<float[1] loss_grad = {{1.0}}, int64[1] rows = {{0}}, int64[1] columns = {{1}},
 float[N,64] a, float[N,64] r, float[N,64] s, float[N,64] t, float[N,64] d, float[N,64] e, float[N,64] k, float[N,64] f>
{{
  [a] a = Add (x, w)
  [relu] r = Relu (a)
  [s] s = Softplus (r)
  [again] t = Softplus (s)
  [loss] loss = ReduceSum <keepdims = 0> (t, columns)
  [shape] shape = Shape (r)
  [d] d = Expand (loss_grad, shape)
  [e] e = {upstream}
  [k] k = HardSigmoid <alpha = {steep}, beta = 0.0> (r)
  [f] f = Mul (e, k)
  [dw] dw = ReduceSum <keepdims = 0> (f, rows)
}}
"""


def backward_graph(upstream: str = "Neg (d)", steep: str = STEEP) -> ir.Model:
    return ir.from_onnx_text(TEXT.format(upstream=upstream, steep=steep))


def outputs(model: ir.Model, x: np.ndarray, w: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), session_options(1))
    return session.run(None, {"x": x, "w": w})


def test_the_gradient_reads_a_mask_of_bytes() -> None:
    model = backward_graph()
    before = run_twice(PackReluMasks(), model)
    changes = changed_lines(before, model)
    assert [line for line in changes if line.startswith("+")] == [
        '+["f.mask"] "f.mask" = Greater (r, "relu.zero")',
        '+["f.passed"] "f.passed" = Cast <to: int = 1> ("f.mask")',
        '+["f.shape"] "f.shape" = Shape ("f.mask")',
        '+["f.upstream"] "f.upstream" = Reshape (e, "f.shape")',
        '+[f] f = Mul ("f.upstream", "f.passed")',
    ]
    assert len(changes) == 7


@pytest.mark.parametrize("upstream", ["Mul (d, r)", "Mul (r, d)"])
def test_an_output_that_the_backward_reads_anyway_is_kept_as_it_is(upstream: str) -> None:
    assert not PackReluMasks()(backward_graph(upstream)).modified


def test_a_hard_sigmoid_of_the_model_itself_is_no_step() -> None:
    assert not PackReluMasks()(backward_graph(steep="0.2")).modified


def test_a_forward_graph_is_left_alone() -> None:
    assert not PackReluMasks().call(forward_model()).modified


def test_gradients_are_the_same() -> None:
    """The smallest and the largest numbers and the zeros of both signs included."""
    model = backward_graph()
    x = np.random.default_rng(0).normal(size=(7, 64)).astype(np.float32)
    x[:, :5] = [0.0, -0.0, np.finfo(np.float32).tiny, 1e-20, 3e38]
    feeds = (x, np.zeros(64, np.float32))
    before = outputs(model, *feeds)
    PackReluMasks()(model)
    for found, wanted in zip(outputs(model, *feeds), before, strict=True):
        np.testing.assert_array_equal(found, wanted)


def waiting(model: ir.Model, name: str) -> set[str]:
    """The values that are there when a node runs, and are read by it or later."""
    order = execution_order(at_batch(model, 32).graph)
    place = next(index for index, node in enumerate(order) if node.name == name)
    made = [out for node in order[:place] for out in node.outputs]
    return {str(out.name) for out in made if any(order.index(usage.node) >= place for usage in out.uses())}


def test_the_mask_is_kept_in_place_of_the_output() -> None:
    """The gradient needs what the forward pass makes of r, so r, or its mask, waits for it."""
    model = backward_graph("Mul (d, t)")
    OrderBackward()(model)
    assert "r" in waiting(model, "e")
    model = backward_graph("Mul (d, t)")
    PackReluMasks()(model)
    OrderBackward()(model)
    assert not {"r", "k", "f.passed"} & waiting(model, "e")
    assert "f.mask" in waiting(model, "e")
