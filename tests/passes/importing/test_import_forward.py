"""Properties of an imported graph, and the models that the import refuses."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from sparcl_compile.interface.errors import FieldError, ModelError, UnsupportedOpsError
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.contract import IR_VERSION, OPSET
from sparcl_compile.passes.core.roles import role_of, values_with_role
from sparcl_compile.passes.importing import verify
from sparcl_compile.passes.importing.import_forward import ImportForward
from tests.support.gradient_check import dense_reasons, imported
from tests.support.zoo import CLASSES, HAND_MADE, ZOO, Net, mlp
from tests.support.zoo_torch import export


def names(model: ir.Model, role: Role) -> set[str]:
    return {str(value.name) for value in values_with_role(model, role)}


def initial(model: ir.Model, name: str) -> np.ndarray:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return tensor.numpy()


def ops(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("name", ZOO)
def test_the_contract_holds_for_every_form(name: str) -> None:
    model = imported(ZOO[name]())
    (x,) = model.graph.inputs
    logits = model.graph.outputs[0]
    assert (x.name, logits.name) == ("x", "logits")
    assert x.shape is not None
    assert str(x.shape[0]) == "N"
    assert all(isinstance(d, int) for d in list(x.shape)[1:])
    assert logits.shape == ir.Shape(["N", CLASSES])
    statistics = names(model, Role.RUNNING_STAT)
    assert {str(v.name) for v in model.graph.outputs} == {"logits", *(f"{s}.next" for s in statistics)}
    assert model.graph.opset_imports == {"": OPSET}
    assert model.ir_version == IR_VERSION
    assert all(node.name for node in model.graph)
    assert any(reason is None for reason in dense_reasons(model).values())
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


@pytest.mark.parametrize("name", ZOO)
def test_a_second_run_does_nothing(name: str) -> None:
    model = ir.from_proto(ZOO[name]())
    assert ImportForward()(model).modified
    before = ir.to_proto(model).SerializeToString()
    assert not ImportForward()(model).modified
    assert ir.to_proto(model).SerializeToString() == before


@pytest.mark.parametrize("name", ["token_transformer", "shufflenet"])
def test_the_other_exporter_of_pytorch_is_understood(name: str) -> None:
    model = imported(export(name, 20, symbolic=False, dynamo=True))
    assert model.graph.outputs[0].shape == ir.Shape(["N", CLASSES])


def test_any_batch_gives_the_rows_of_a_single_one() -> None:
    proto = ZOO["resnet"]()
    model = ir.from_proto(proto)
    ImportForward()(model)
    for node in model.graph:  # back to inference form
        if node.op_type == "BatchNormalization":
            node.attributes.pop("training_mode")
            node.resize_outputs(1)
    del model.graph.outputs[1:]
    x = verify.random_input((4, 3, 8, 8), seed=5)
    wanted = verify.run(proto, x, proto.graph.output[0].name, batch=1)
    np.testing.assert_allclose(verify.run(ir.to_proto(model), x, "logits"), wanted, rtol=1e-4, atol=1e-5)


def test_a_model_that_mixes_rows_is_refused() -> None:
    net = Net([1, 6])
    net.op("Gemm", net.weight("w", 6, CLASSES))
    net.op("Sub", net.op("ReduceMean", net.ints("rows", 0), source=net.last), source="t0")
    with pytest.raises(ModelError, match="mixes the rows of a batch"):
        imported(net.model())


def test_batch_normalization_learns_and_moves_on() -> None:
    model = imported(ZOO["cnn_bn"]())
    norm = next(node for node in model.graph if node.op_type == "BatchNormalization")
    assert norm.attributes["training_mode"].as_int() == 1
    assert [v.name for v in norm.outputs[1:]] == ["bn1.mean.next", "bn1.var.next"]
    assert names(model, Role.RUNNING_STAT) == {"bn1.mean", "bn1.var", "bn2.mean", "bn2.var"}
    assert {"bn1.scale", "bn1.bias"} <= names(model, Role.PARAMETER)


def test_the_final_activation_is_dropped_and_logits_are_flat() -> None:
    assert "Softmax" not in ops(imported(ZOO["channels_last"]()))
    assert "LogSoftmax" not in ops(imported(ZOO["log_softmax_fixed"]()))
    assert ops(imported(ZOO["conv_head"]()))[-1] == "Flatten"
    assert "ArgMax" not in ops(imported(ZOO["two_outputs"]()))


def test_dropout_is_removed() -> None:
    net = Net(["batch", 6], opset=13)
    net.op("Gemm", net.weight("w", 6, CLASSES))
    net.op("Dropout")
    assert ops(imported(net.model())) == ["Gemm"]


def test_baked_batches_leave_no_shape_arithmetic() -> None:
    assert ops(imported(ZOO["resnet"]()))[-3:] == ["GlobalAveragePool", "Reshape", "Gemm"]
    assert ops(imported(ZOO["old_ir"]())) == ["Conv", "Relu", "Reshape", "MatMul", "Add"]


def test_preprocessing_is_not_trained() -> None:
    parameters = names(imported(ZOO["preprocessing"]()), Role.PARAMETER)
    assert parameters == {"stem.weight", "fc.weight", "fc.bias"}


def test_a_decomposed_layer_norm_is_trained_and_scalars_are_not() -> None:
    model = imported(export("own_attention", 14, symbolic=False))
    assert {"norm.weight", "norm.bias"} <= names(model, Role.PARAMETER)
    assert all(v.const_value is None or v.const_value.size > 1 for v in values_with_role(model, Role.PARAMETER))


@pytest.mark.parametrize(("rows", "shared"), [([0, 2, 2, 1], True), ([3, 0, 2, 1], False)])
def test_elements_that_a_gather_shares_stay_one(rows: list[int], shared: bool) -> None:
    """Places of a table of relative positions learn as one; a mere change of the order is folded."""
    text = f"""<ir_version: 10, opset_import: ["" : 18]>
    g (float[N,6] x) => (float[N,4] logits) <float[4,6] w, float[4] table, int64[4] rows = {{{str(rows)[1:-1]}}}> {{
      h = Gemm <transB = 1> (x, w)
      b = Gather (table, rows)
      logits = Add (h, b)
    }}"""
    proto = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    made = {"w": rng.normal(size=(4, 6)), "table": rng.normal(size=4)}
    proto.graph.initializer.extend(numpy_helper.from_array(a.astype(np.float32), n) for n, a in made.items())
    del proto.graph.value_info[:]
    model = imported(proto, target="ort")
    assert ("Gather" in ops(model)) == shared
    assert ("table" in names(model, Role.PARAMETER)) == shared
    assert len(names(model, Role.PARAMETER)) == 2


def test_weights_shared_by_the_exporter_are_trained_apart() -> None:
    model = imported(ZOO["shared_by_identity"]())
    equal = [initial(model, n) for n in dense_reasons(model) if initial(model, n).shape == (8, 8)]
    assert len(equal) == 2
    np.testing.assert_array_equal(*equal)


@pytest.mark.parametrize(
    "name", ["mlp", "mlp_matmul", "resnet", "conv_head", "channels_last", "token_transformer_fixed"]
)
def test_the_head_is_replaced(name: str) -> None:
    model = imported(ZOO[name](), classes=9, seed=4)
    assert model.graph.outputs[0].shape == ir.Shape(["N", 9])
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    again, other = imported(ZOO[name](), classes=9, seed=4), imported(ZOO[name](), classes=9, seed=5)
    (head,) = [n for n, reason in dense_reasons(model).items() if reason == "classifier"]
    np.testing.assert_array_equal(initial(model, head), initial(again, head))
    assert not np.array_equal(initial(model, head), initial(other, head))


def test_the_same_number_of_classes_keeps_the_head() -> None:
    np.testing.assert_array_equal(
        initial(imported(mlp(), classes=CLASSES), "fc2.weight"), initial(imported(mlp()), "fc2.weight")
    )


def test_a_head_that_something_follows_cannot_be_replaced() -> None:
    net = Net(["batch", 6])
    net.op("Gemm", net.weight("w", 6, CLASSES))
    net.op("Mul", net.weight("scale", CLASSES))
    with pytest.raises(ModelError, match="`classes` cannot replace the head"):
        imported(net.model(), classes=9)


def test_fresh_weights_are_drawn_like_pytorchs() -> None:
    model = imported(ZOO["cnn_bn"](), init="fresh", seed=1)
    assert np.all(initial(model, "bn1.scale") == 1)
    assert np.all(initial(model, "bn1.bias") == 0)
    assert np.all(initial(model, "bn1.mean") == 0)
    assert np.all(initial(model, "bn1.var") == 1)
    stem, bound = initial(model, "stem.weight"), 1 / np.sqrt(27)
    assert np.abs(stem).max() <= bound
    assert np.abs(stem).max() > 0.9 * bound
    assert abs(float(stem.std()) - bound / np.sqrt(3)) < 0.1 * bound
    assert np.abs(initial(model, "fc.bias")).max() <= 1 / np.sqrt(8)
    np.testing.assert_array_equal(stem, initial(imported(ZOO["cnn_bn"](), init="fresh", seed=1), "stem.weight"))
    assert not np.array_equal(stem, initial(imported(ZOO["cnn_bn"](), init="fresh", seed=2), "stem.weight"))


@pytest.mark.parametrize(("options", "message"), [({"init": "new"}, "`init` new"), ({"classes": 1}, "`classes` 1")])
def test_impossible_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(FieldError, match=f"^import_forward: {message}"):
        imported(mlp(), **options)


def one_op(op_type: str, **attributes: object) -> onnx.ModelProto:
    net = Net(["batch", 6])
    net.op("Gemm", net.weight("w", 6, CLASSES))
    net.op(op_type, **attributes)
    net.nodes[-1].name = "odd"
    return net.model()


@pytest.mark.parametrize("op_type", ["Floor", "Atan", "Sinh"])
def test_operators_without_gradient_are_refused(op_type: str) -> None:
    with pytest.raises(UnsupportedOpsError, match=rf"{op_type} \(odd\)"):
        imported(one_op(op_type))


def test_custom_domains_are_refused() -> None:
    proto = one_op("FusedMatMul", domain="com.microsoft")
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(ModelError, match=r"custom domain com\.microsoft: FusedMatMul \(odd\)"):
        imported(proto)


ML = "ai.onnx.ml"


def test_what_prepares_the_values_is_not_called_a_classifier() -> None:
    net = Net(["batch", 6])
    net.op("Imputer", domain=ML, imputed_value_floats=[0.0])
    net.op("Gemm", net.weight("w", 6, CLASSES))
    proto = net.model()
    proto.opset_import.append(helper.make_opsetid(ML, 1))
    with pytest.raises(ModelError, match=r"Imputer \(.*\); it prepares the values: do that to the data, and export"):
        imported(proto)


def test_the_same_operators_behind_a_layer_are_part_of_a_classifier() -> None:
    net = Net(["batch", 6])
    net.op("Gemm", net.weight("w", 6, CLASSES))
    net.op("Binarizer", domain=ML, threshold=0.0)
    proto = net.model()
    proto.opset_import.append(helper.make_opsetid(ML, 1))
    with pytest.raises(ModelError, match="train an MLPClassifier in its place"):
        imported(proto)


def test_a_model_without_any_layer_has_no_classifier_behind_what_prepares_the_values() -> None:
    """As scikit-learn's nearest neighbours, which look up the stored labels."""
    net = Net(["batch", 6])
    net.op("ArrayFeatureExtractor", net.ints("places", 1, 2), domain=ML)
    proto = net.model()
    proto.opset_import.append(helper.make_opsetid(ML, 1))
    with pytest.raises(ModelError, match=r"ArrayFeatureExtractor .* train an MLPClassifier in its place"):
        imported(proto)


def test_recurrent_and_quantised_models_are_refused_together() -> None:
    net = Net(["batch", 3, 4])
    net.op("LSTM", net.weight("w", 1, 16, 4), net.weight("r", 1, 16, 4), hidden_size=4)
    net.op("QuantizeLinear", net.array("scale", 0.1))
    with pytest.raises(UnsupportedOpsError, match=r"2 operator.*LSTM.*QuantizeLinear"):
        imported(net.model(), target="ort-training")


def test_several_inputs_are_refused_by_name() -> None:
    proto = mlp()
    proto.graph.input.append(helper.make_tensor_value_info("lengths", TensorProto.FLOAT, ["N"]))
    with pytest.raises(ModelError, match="one input; this model's inputs: image, lengths; export one that"):
        imported(proto)


def test_constants_that_an_exporter_made_inputs_are_refused_with_the_layer_that_lost_them() -> None:
    """As tf2onnx writes Keras's Normalization: of mean and variance the shapes are left."""
    text = """<ir_version: 10, opset_import: ["" : 18]>
    g (float[N,4] x, float[1,4] mean, float[1,4] variance, float[4,3] w) => (float[N,3] logits) {
      moved = Sub (x, mean)
      logits = MatMul (moved, w)
    }"""
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.append(numpy_helper.from_array(np.ones((4, 3), np.float32), "w"))
    with pytest.raises(
        ModelError, match=r"mean and variance seem to be constants .* Rescaling\(1 / std, -mean / std\)"
    ):
        imported(proto)


def test_inputs_that_are_no_float32_or_no_fixed_size_are_refused() -> None:
    proto = mlp()
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(ModelError, match="input image is int64"):
        imported(proto)
    proto = ZOO["cnn_bn"]()
    proto.graph.input[0].type.tensor_type.shape.dim[3].dim_param = "width"
    with pytest.raises(ModelError, match=r"input image has free dimensions \(width\)"):
        imported(proto)


def test_half_precision_is_refused_by_name() -> None:
    net = Net(["batch", 6])
    net.op("Cast", to=TensorProto.FLOAT16)
    net.op("Gemm", net.array("w", np.ones((6, CLASSES)), np.float16))
    net.op("Cast", to=TensorProto.FLOAT)
    with pytest.raises(ModelError, match=r"only float32 weights can be trained; found w \(float16\)"):
        imported(net.model())


def test_a_model_without_weights_is_refused() -> None:
    net = Net(["batch", CLASSES])
    net.op("Relu")
    with pytest.raises(ModelError, match="no trainable weights"):
        imported(net.model())


def test_a_model_without_class_scores_is_refused() -> None:
    net = Net(IMAGE_TO_IMAGE)
    net.conv("c", 3, CLASSES)
    proto = net.model(rank=4)
    for axis in (2, 3):
        proto.graph.output[0].type.tensor_type.shape.dim[axis].dim_value = 8
    with pytest.raises(ModelError, match="no output holds class scores"):
        imported(proto)


IMAGE_TO_IMAGE: list[int | str] = ["batch", 3, 8, 8]


def test_an_older_model_that_contradicts_itself_is_refused() -> None:
    proto = ZOO["old_ir"]()
    (shape,) = (value for value in proto.graph.input if value.name == "flat")
    shape.type.tensor_type.elem_type = TensorProto.FLOAT  # its data are integers
    with pytest.raises(ModelError, match=f"opset 8 cannot be converted to {OPSET}: "):
        imported(proto)


def test_the_import_changes_no_weight() -> None:
    for name in HAND_MADE:
        proto = ZOO[name]()
        stored = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
        model = imported(proto)
        for value in model.graph.initializers.values():
            if role_of(value) and value.name in stored and value.const_value is not None:
                found, given = value.const_value.numpy(), stored[str(value.name)]
                moved = found.shape != given.shape  # a weight in another shape keeps its name
                np.testing.assert_array_equal(*(np.sort(one, axis=None) if moved else one for one in (found, given)))


@pytest.mark.parametrize(
    ("op_type", "lengths"), [("Conv", [0]), ("Conv", [1]), ("BatchNormalization", [0]), ("BatchNormalization", [1, 6])]
)
def test_vectors_of_another_length_than_the_channels_are_refused(op_type: str, lengths: list[int]) -> None:
    net = Net(IMAGE_TO_IMAGE)
    net.conv("stem", 3, 6)
    net.bn("bn", 6)
    net.nodes[0].input.append(net.weight("stem.bias", 6))
    proto = net.head(6)
    name = {"Conv": "stem.bias", "BatchNormalization": "bn.scale"}[op_type]
    for tensor in [tensor for tensor in proto.graph.initializer if tensor.name == name]:
        tensor.CopyFrom(numpy_helper.from_array(np.ones(lengths, np.float32), name))
    with pytest.raises(ModelError, match=rf"{name} has shape .* and the layer has 6 channels|cannot take a batch of"):
        imported(proto)


def test_vectors_of_one_number_a_channel_are_taken() -> None:
    assert imported(ZOO["cnn_bn"]()).graph.outputs[0].shape == ir.Shape(["N", CLASSES])


def test_a_target_of_two_axes_is_refused() -> None:
    net = Net(["batch", 6])
    net.op("Reshape", net.array("target", [[1, 6]], np.int64))
    net.op("Gemm", net.weight("w", 6, CLASSES))
    with pytest.raises(ModelError, match="no output holds class scores"):
        imported(net.model())


def test_functions_that_call_themselves_are_refused() -> None:
    proto = mlp()
    proto.functions.add(name="Reshape", domain="own").node.append(helper.make_node("Reshape", [], [], domain="own"))
    proto.functions[0].opset_import.add(domain="own", version=1)
    proto.opset_import.add(domain="own", version=1)
    with pytest.raises(ModelError, match=r"functions of the model call each other .*: export the model again"):
        imported(proto)
