"""Which value of a file holds the class scores, and what is made of the activation behind it."""

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from sparcl_compile.interface.errors import FieldError, ModelError
from sparcl_compile.passes.core.marks import OUTPUT_KEY
from sparcl_compile.passes.importing import verify
from sparcl_compile.passes.importing.remarks import remarks_of
from tests.support.gradient_check import imported
from tests.support.zoo import CLASSES, Net


def network(width: int = CLASSES) -> Net:
    """Two layers: the embedding is ``t1``, the logits are ``t2``."""
    net = Net(["batch", 6])
    net.op("Gemm", net.weight("w1", 6, 8), net.weight("b1", 8))
    net.op("Relu")
    net.op("Gemm", net.weight("w2", 8, width), net.weight("b2", width))
    return net


def model(
    net: Net, *outputs: str, dtype: int = TensorProto.FLOAT, shape: tuple[int | str, ...] = ()
) -> onnx.ModelProto:
    """The network with these outputs, in this order; without any, its last value."""
    proto = net.model()
    del proto.graph.output[:]
    for name in outputs or (net.last,):
        proto.graph.output.append(helper.make_tensor_value_info(name, dtype, shape or ("batch", "C")))
    return proto


def answers(proto: onnx.ModelProto, **options: object) -> tuple[np.ndarray, np.ndarray]:
    """What the file and the imported model say to the same rows."""
    x = verify.random_input((4, 6), seed=3)
    graph = imported(proto, **options)
    return verify.run(proto, x, proto.graph.output[0].name), verify.run(ir.to_proto(graph), x, "logits")


def unit_length(net: Net, source: str) -> str:
    """The value divided by its length, as PyTorch exports ``normalize``."""
    axes = net.ints("axes", 1)
    length = net.op("ReduceL2", axes, source=source)
    length = net.op("Clip", net.array("eps", 1e-12), source=length)
    return net.op("Div", length, source=source)


def test_one_sigmoid_becomes_two_logits_of_the_same_posterior() -> None:
    net = network(1)
    net.op("Sigmoid")
    chance, logits = answers(model(net))
    assert logits.shape == (4, 2)
    np.testing.assert_array_equal(logits[:, 0], 0.0)
    np.testing.assert_allclose(verify.softmax(logits)[:, 1:], chance, rtol=1e-5)
    assert "one logit z for two classes" in " ".join(remarks_of(imported(model(net))))


def test_one_sigmoid_without_an_axis_of_classes() -> None:
    net = network(1)
    net.op("Sigmoid")
    net.op("Squeeze", net.ints("last", 1))
    chance, logits = answers(model(net, shape=("batch",)))
    np.testing.assert_allclose(verify.softmax(logits)[:, 1], chance[:, 0], rtol=1e-5)


def test_two_probabilities_of_one_sigmoid() -> None:
    net = network(1)
    chance = net.op("Sigmoid")
    other = net.op("Sub", chance, source=net.array("one", [1.0]))
    net.op("Concat", chance, source=other, axis=1)
    probabilities, logits = answers(model(net))
    np.testing.assert_allclose(verify.softmax(logits), probabilities, rtol=1e-5)


def test_one_sigmoid_with_another_number_of_classes_gets_a_fresh_head() -> None:
    net = network(1)
    net.op("Sigmoid")
    graph = imported(model(net), classes=4)
    assert graph.graph.outputs[0].shape == ir.Shape(["N", 4])
    assert "Pad" not in [node.op_type for node in graph.graph]


def test_several_sigmoids_are_class_scores_and_that_is_said() -> None:
    net = network()
    net.op("Sigmoid")
    graph = imported(model(net))
    assert "Sigmoid" not in [node.op_type for node in graph.graph]
    assert f"{CLASSES} sigmoids" in " ".join(remarks_of(graph))
    scores, logits = answers(model(net))
    np.testing.assert_array_equal(scores.argmax(axis=1), logits.argmax(axis=1))


@pytest.mark.parametrize(("op", "held"), [("Relu", "none is below 0"), ("Tanh", "all lie between -1 and 1")])
@pytest.mark.parametrize("last", [(), ("Softmax",)])
def test_an_activation_that_holds_the_scores_back_is_said(op: str, held: str, last: tuple[str, ...]) -> None:
    net = network()
    net.op(op)
    for one in last:
        net.op(one)
    (line,) = remarks_of(imported(model(net)))
    assert f"{op} (" in line
    assert f"behind the last layer: of the class scores {held}" in line
    assert line.endswith("give --logits t2 to learn without it")
    assert remarks_of(imported(model(net), logits="t2")) == ()


def test_an_activation_before_the_last_average_is_said() -> None:
    net = Net(["batch", 3, 8, 8])
    net.conv("c", 3, CLASSES)
    net.op("Relu")
    net.op("GlobalAveragePool")
    net.op("Flatten")
    (line,) = remarks_of(imported(model(net)))
    assert line.endswith("they learn worse than free ones; export the classifier without it")


def test_scores_that_are_scaled_after_a_tanh_are_free_enough() -> None:
    net = network()
    net.op("Tanh")
    net.op("Mul", net.array("cap", 30.0))
    assert remarks_of(imported(model(net))) == ()


def test_a_logarithm_of_softmax_is_logsoftmax() -> None:
    net = network()
    net.op("Softmax", axis=1)
    net.op("Log")
    assert [node.op_type for node in imported(model(net)).graph] == ["Gemm", "Relu", "Gemm"]


@pytest.mark.parametrize("order", [("embedding", "t2"), ("t2", "embedding"), ("t1", "t2"), ("t2", "t1")])
def test_the_logits_are_found_in_any_order_of_outputs(order: tuple[str, str]) -> None:
    net = network()
    embedding = unit_length(net, "t1")
    names = [embedding if name == "embedding" else name for name in order]
    graph = imported(model(net, *names))
    assert graph.metadata_props[OUTPUT_KEY] == "t2"
    assert graph.graph.outputs[0].shape == ir.Shape(["N", CLASSES])
    (other,) = {*names} - {"t2"}
    assert remarks_of(graph) == (f"the classes are those of output t2; --logits chooses another ({other})",)


def test_a_confidence_is_not_preferred_to_the_logits() -> None:
    net = network()
    net.op("ReduceMax", net.ints("axes", 1), keepdims=0)
    assert imported(model(net, "t3", "t2")).metadata_props[OUTPUT_KEY] == "t2"


def test_the_user_chooses_an_output_or_an_inner_value() -> None:
    net = network()
    net.op("TopK", net.ints("k", 2), outputs=2)
    proto = model(net)
    assert imported(proto, logits="t2").graph.outputs[0].shape == ir.Shape(["N", CLASSES])
    assert imported(model(network(), "t2", "t1"), logits="t1").graph.outputs[0].shape == ir.Shape(["N", 8])


def test_a_value_that_is_not_there_is_refused_with_the_outputs() -> None:
    with pytest.raises(FieldError, match=r"`logits` score: is no value that the model computes; give one of t2"):
        imported(model(network()), logits="score")


def test_a_value_without_class_scores_is_refused() -> None:
    net = network()
    net.op("ArgMax", axis=1)
    with pytest.raises(ModelError, match="no output holds class scores"):
        imported(model(net), logits=net.last)


def top_scores(net: Net) -> None:
    net.op("TopK", net.ints("k", 2), outputs=2)


def unit_logits(net: Net) -> None:
    unit_length(net, "t2")


def unit_by_operator(net: Net) -> None:
    net.op("LpNormalization", axis=1)


def unit_by_expansion(net: Net) -> None:
    length = net.op("ReduceL2", net.ints("axes", 1), source="t2")
    shape = net.op("Shape", source="t2")
    net.op("Div", net.op("Expand", shape, source=length), source="t2")


def one_class(net: Net) -> None:
    net.op("Hardmax", axis=1)


def scaled_softmax(net: Net) -> None:
    net.op("Softmax", axis=1)
    net.op("Mul", net.array("percent", 100.0))


def sigmoids_by_their_sum(net: Net) -> None:
    """As scikit-learn's SGDClassifier is converted: the scores are bent before they are divided."""
    net.op("Neg")
    net.op("Exp")
    net.op("Add", net.array("one", 1.0))
    each = net.op("Reciprocal")
    total = net.op("ReduceSum", net.ints("axes", 1), source=each)
    none = net.op("Cast", source=net.op("Not", source=net.op("Cast", source=total, to=TensorProto.BOOL)), to=1)
    net.op("Div", total, source=net.op("Add", none, source=each))


@pytest.mark.parametrize(
    ("tail", "culprit"),
    [
        (sigmoids_by_their_sum, "Div"),
        (top_scores, "TopK"),
        (unit_logits, "Div"),
        (unit_by_operator, "LpNormalization"),
        (unit_by_expansion, "Div"),
        (one_class, "Hardmax"),
        (scaled_softmax, "Softmax"),
    ],
)
def test_what_leaves_no_scores_is_refused_and_the_mend_works(tail: Callable[[Net], None], culprit: str) -> None:
    net = network()
    tail(net)
    with pytest.raises(ModelError, match=rf"output {net.last}: {culprit} \(.*give `logits` t2 if those are the logits"):
        imported(model(net))
    assert imported(model(net), logits="t2").graph.outputs[0].shape == ir.Shape(["N", CLASSES])


def test_probabilities_of_single_classes_are_not_called_logits() -> None:
    net = Net(["batch", 6])
    chances = [
        net.op("Sigmoid", source=net.op("Gemm", net.weight(f"w{place}", 6, 1), source="image"))
        for place in range(CLASSES)
    ]
    each = net.op("Concat", *chances[1:], source=chances[0], axis=1)
    net.op("Div", net.op("ReduceSum", net.ints("axes", 1), source=each), source=each)
    with pytest.raises(ModelError, match=r"normalises them to length 1; export the classifier with its logits as an"):
        imported(model(net))


def test_a_temperature_and_a_normalised_embedding_below_the_last_layer_are_taken() -> None:
    net = Net(["batch", 6])
    net.op("Gemm", net.weight("w1", 6, 8))
    unit_length(net, "t0")
    net.op("MatMul", net.weight("w2", 8, CLASSES))
    net.op("Div", net.array("temperature", 0.1))
    assert imported(model(net)).graph.outputs[0].shape == ir.Shape(["N", CLASSES])


def test_one_score_is_no_classifier_without_a_fresh_head() -> None:
    with pytest.raises(FieldError, match=r"output t2 holds one score without a Sigmoid, .* give 2 or more"):
        imported(model(network(1)))
    assert imported(model(network(1)), classes=2).graph.outputs[0].shape == ir.Shape(["N", 2])


def test_an_unread_label_is_not_judged() -> None:
    net = network()
    net.op("ArgMax", axis=1, keepdims=0)
    net.op("LabelEncoder", domain="ai.onnx.ml", keys_int64s=[0], values_int64s=[3])
    proto = model(net, "t2")
    proto.graph.output.insert(0, helper.make_tensor_value_info("t4", TensorProto.INT64, ["batch"]))
    proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))
    assert imported(proto).graph.outputs[0].shape == ir.Shape(["N", CLASSES])
