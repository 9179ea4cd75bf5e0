import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.passes.differentiating.ort_training.transpose_frozen_convolutions import TransposeFrozenConvolutions
from sparcl_compile.runtime.session.sessions import session_options
from tests.support.small_model import forward_model, run_twice

pytestmark = pytest.mark.training_build

TEXT = """
<ir_version: 10, opset_import: ["" : 18, "com.microsoft" : 1]>
g (float[N,4,{size}] x, float[N,{filters},{out}] dy, float[{filters},{inputs},{kernel}] w) => ({results})
{{
  [grad] {grads} = com.microsoft.ConvGrad <{attributes}> (dy, x, w)
}}
"""
RESULTS = {"dx": "float[N,4,{size}] dx", "dw": "float[{filters},{inputs},{kernel}] dw", "db": "float[{filters}] db"}

SHAPES = {
    "padded": {"size": "7,6", "out": "7,6", "kernel": "3,3", "attributes": "pads = [1,1,1,1]"},
    "strided": {"size": "8,7", "out": "4,4", "kernel": "3,3", "attributes": "strides = [2,2], pads = [1,1,1,1]"},
    "a stride that leaves two rows": {"size": "9,9", "out": "3,3", "kernel": "1,1", "attributes": "strides = [4,3]"},
    "one side padded": {"size": "6,6", "out": "5,6", "kernel": "3,2", "attributes": "pads = [0,1,1,0]"},
    "dilated": {"size": "9,8", "out": "5,4", "kernel": "3,3", "attributes": "dilations = [2,2]"},
    "groups": {"size": "5,5", "out": "3,3", "kernel": "3,3", "attributes": "group = 2", "inputs": 2},
    "one axis": {"size": "9", "out": "4", "kernel": "3", "attributes": "strides = [2]"},
}


def conv_gradient(shape: str = "padded", results: tuple[str, ...] = ("dx",)) -> ir.Model:
    facts = {"filters": 6, "inputs": 4, **SHAPES[shape]}
    facts["attributes"] = f"kernel_shape = [{facts['kernel']}], {facts['attributes']}"
    made = ", ".join(RESULTS[name].format(**facts) for name in results)
    grads = ", ".join(name if name in results else '""' for name in RESULTS).removesuffix(', ""').removesuffix(', ""')
    return ir.from_onnx_text(TEXT.format(results=made, grads=grads, **facts))


def outputs(model: ir.Model) -> list[np.ndarray]:
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), session_options(1))
    rng = np.random.default_rng(0)
    feeds = {i.name: [2 if d == "N" else d for d in i.shape] for i in session.get_inputs()}
    return session.run(None, {name: rng.normal(size=shape).astype(np.float32) for name, shape in feeds.items()})


def test_a_transposed_convolution_takes_the_gradient_s_place() -> None:
    model = conv_gradient("strided", ("dx", "db"))
    run_twice(TransposeFrozenConvolutions(), model)
    transposed, total = list(model.graph)
    assert (transposed.op_type, total.op_type) == ("ConvTranspose", "ReduceSum")
    assert [value.name for value in transposed.inputs if value is not None] == ["dy", "w"]
    # Of eight padded to ten rows a stride of two leaves the last one over; of seven padded to nine columns none.
    assert list(transposed.attributes["output_padding"].as_ints()) == [1, 0]
    assert [value.name for value in model.graph.outputs] == ["dx", "db"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("results", [("dx",), ("db",), ("dx", "db")])
def test_the_gradients_are_the_same(shape: str, results: tuple[str, ...]) -> None:
    model = conv_gradient(shape, ("dx", "dw", "db"))
    whole = dict(zip(("dx", "dw", "db"), outputs(model), strict=True))
    model = conv_gradient(shape, results)
    assert TransposeFrozenConvolutions().call(model).modified
    for name, found in zip(results, outputs(model), strict=True):
        # Sums of at most 54 products in another order: float32 gives about 1e-6.
        np.testing.assert_allclose(found, whole[name], rtol=1e-5, atol=1e-5)


def test_a_weight_gradient_that_is_read_is_left_alone() -> None:
    assert not TransposeFrozenConvolutions().call(conv_gradient(results=("dx", "dw"))).modified


def test_an_input_of_unknown_size_is_left_alone() -> None:
    model = conv_gradient()
    model.graph.inputs[0].shape = ir.Shape(["N", 4, "H", 6])
    assert not TransposeFrozenConvolutions().call(model).modified


def test_a_forward_graph_is_left_alone() -> None:
    assert not TransposeFrozenConvolutions().call(forward_model()).modified
