"""Protos without weights: what stays of the initializers, and in which order."""

import numpy as np
import onnx
import onnx_ir as ir

from sparcl_compile.compiling.protos import large_last, with_fed_initializers, without_data

TEXT = """<ir_version: 10, opset_import: ["" : 18], producer_name: "someone">
g (float[N, 300] x) => (float[N, 3] y) <float[N, 3] a> { a = MatMul(x, w) y = Add(a, b) }"""


def model() -> ir.Model:
    one = ir.from_onnx_text(TEXT)
    data = {"w": np.zeros((300, 3), np.float32), "b": np.ones(3, np.float32)}
    for name, array in data.items():
        value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(ir.DataType.FLOAT))
        value.const_value = ir.tensor(array, name=name)
        one.graph.register_initializer(value)
    for node in one.graph:
        for slot, value in enumerate(node.inputs):
            if value is not None and value.name in data:
                node.replace_input_with(slot, one.graph.initializers[value.name])
    return one


def test_without_data_is_the_proto_but_for_the_tensors() -> None:
    wanted = ir.to_proto(model())
    del wanted.graph.initializer[:]
    assert without_data(model()) == wanted


def test_the_text_is_the_same_and_metadata_is_left_out() -> None:
    one = training_model()
    wanted = ir.to_onnx_text(one, exclude_initializers=True)
    assert onnx.printer.to_text(without_data(one)) == wanted
    assert "metadata" in str(ir.to_proto(one).graph.node[0])
    assert "metadata" not in str(without_data(one).graph.node)


def test_fed_initializers_keep_the_data_that_inference_may_need() -> None:
    proto = with_fed_initializers(model())
    assert [one.name for one in proto.graph.input] == ["x", "w", "b"]
    assert [one.name for one in proto.graph.initializer] == ["b"]
    onnx.checker.check_model(proto, full_check=True)


def test_large_initializers_come_last_in_a_standard_graph() -> None:
    one = model()
    large_last(one.graph)
    assert list(one.graph.initializers) == ["b", "w"]
    large_last(one.graph)
    assert list(one.graph.initializers) == ["b", "w"]


def test_beside_foreign_operators_the_order_stays() -> None:
    one = model()
    next(iter(one.graph)).domain = "foreign"
    large_last(one.graph)
    assert list(one.graph.initializers) == ["w", "b"]


def training_model() -> ir.Model:
    """Nodes with metadata, attributes, missing inputs and outputs, unknown shapes, subgraphs and a function."""
    text = """<ir_version: 10, opset_import: ["" : 18, "own" : 1], metadata_props: ["made": "here"]>
    g (float[N, 3] x, bool cond) => (float[N, 3] y) <float[N, 3] a, float[3] b = {1, 2, 3}> {
      [split] a, "", c = own.Odd <alpha: float = 0.1, words: strings = ["a", "b"]> (x, "", b)
      [clip] d = Clip (a, "", c)
      [choose] y = If (cond) <then_branch = yes () => (float[N, 3] t) { t = Neg (d) },
                              else_branch = no () => (float[N, 3] e) { e = own.twice (d) }>
    }
    <opset_import: ["" : 18], domain: "own"> twice (p) => (q) { q = Add (p, p) }"""
    one = ir.from_onnx_text(text)
    for node in one.graph:
        node.metadata_props["pass"] = "some"
    return one
