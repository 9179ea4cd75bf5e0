"""Files that are, and files that are not, ONNX models."""

from collections.abc import Callable
from pathlib import Path

import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from sparcl_compile.compiling.graph_file import write_graph
from sparcl_compile.compiling.load import load_model
from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.core.marks import LAYER_KEY, OPTIMIZER_KEY, OUTPUT_KEY, PASS_KEY, PLAN_KEY, ROLE_KEY
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.importing.import_forward import ImportForward
from tests.support.zoo import ZOO, mlp


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(mlp(), path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_model_is_read(file: Path) -> None:
    assert [node.op_type for node in load_model(file).graph] == ["Gemm", "Relu", "Gemm"]


def test_a_statement_without_a_type_states_nothing(file: Path) -> None:
    proto = onnx.load(file)
    proto.graph.value_info.add(name="fc1.weight")
    onnx.save(proto, file)
    model = load_model(file)
    assert ImportForward()(model).modified
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


def test_nodes_out_of_order_are_sorted(file: Path) -> None:
    onnx.save(ZOO["constants_as_nodes"](), file)
    assert [node.op_type for node in load_model(file).graph][-3:] == ["Gemm", "Relu", "Gemm"]


def test_external_data_is_read_into_memory(file: Path) -> None:
    onnx.save_model(mlp(), file, save_as_external_data=True, location="weights.bin", size_threshold=0)
    model = load_model(file)
    (file.parent / "weights.bin").unlink()
    assert model.graph.initializers["fc1.weight"].const_value.numpy().shape == (16, 12)  # type: ignore[union-attr]


def test_missing_external_data_is_named(file: Path) -> None:
    onnx.save_model(mlp(), file, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (file.parent / "weights.bin").unlink()
    assert "weights.bin" in refusal(file)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "no.onnx")
    assert "is a directory" in refusal(tmp_path)


def test_empty_foreign_and_truncated_files(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(b"")
    assert "is empty" in refusal(file)
    file.write_bytes(b"this is a text file, no model\n" * 20)
    refusal(file)
    for length in range(1, len(content) - 1, 37):
        file.write_bytes(content[:length])
        refusal(file)


def test_a_model_without_a_graph(file: Path) -> None:
    file.write_bytes(onnx.ModelProto(ir_version=8).SerializeToString())
    assert "no graph" in refusal(file)


def test_the_checker_s_complaint_names_the_node(file: Path) -> None:
    model = mlp()
    model.graph.node[1].name = "odd"
    model.graph.node[1].attribute.append(helper.make_attribute("nonsense", 1))
    onnx.save(model, file)
    message = refusal(file)
    assert "nonsense" in message
    assert "odd" in message


@pytest.mark.parametrize(
    ("op_type", "mend"),
    [("Erfc", "in Keras give gelu with approximate=True"), ("Digamma", "export the model without it")],
)
def test_an_operator_that_the_exporter_left_as_it_was(op_type: str, mend: str, file: Path) -> None:
    model = onnx.load(file)
    model.graph.node[1].op_type = op_type
    onnx.save(model, file)
    assert refusal(file).endswith(f"; {op_type} is no ONNX operator, the exporter left it as it was: {mend}")


def test_a_dangling_input_is_refused(file: Path) -> None:
    model = mlp()
    model.graph.node[1].input[0] = "nowhere"
    onnx.save(model, file)
    assert "nowhere" in refusal(file)


def test_a_cycle_is_refused(file: Path) -> None:
    model = mlp()
    model.graph.node[0].input[0] = model.graph.node[1].output[0]
    onnx.save(model, file)
    refusal(file)


@pytest.mark.parametrize("opset", [6, onnx.defs.onnx_opset_version() + 1])
def test_opsets_out_of_range(file: Path, opset: int) -> None:
    model = mlp()
    model.opset_import[0].version = opset
    onnx.save(model, file)
    assert f"opset {opset}" in refusal(file)


def test_custom_domains_are_judged_by_the_import_alone(file: Path) -> None:
    model = mlp()
    model.graph.node[1].domain = "com.acme"
    model.opset_import.append(helper.make_opsetid("com.acme", 1))
    onnx.save(model, file)
    with pytest.raises(ModelError, match=r"custom domain com\.acme"):
        ImportForward()(load_model(file))


def test_the_maps_of_scikit_learn_become_their_arrays(file: Path) -> None:
    model = mlp()
    (scores,) = model.graph.output
    labels = list(range(5))
    zipped = helper.make_node("ZipMap", [scores.name], ["maps"], domain="ai.onnx.ml", classlabels_int64s=labels)
    number = helper.make_node("ArgMax", [scores.name], ["number"], axis=1, keepdims=0)
    label = helper.make_node("LabelEncoder", ["number"], ["label"], domain="ai.onnx.ml", keys_int64s=labels)
    label.attribute.append(helper.make_attribute("values_strings", [str(one) for one in labels]))
    model.graph.node.extend([zipped, number, label])
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("label", TensorProto.STRING, ["batch"]))
    maps = model.graph.output.add(name="maps").type.sequence_type.elem_type.map_type
    maps.key_type, maps.value_type.tensor_type.elem_type = TensorProto.INT64, TensorProto.FLOAT
    onnx.checker.check_model(model)
    onnx.save(model, file)
    read = load_model(file)
    ImportForward()(read)
    assert [node.op_type for node in read.graph] == ["Gemm", "Relu", "Gemm"]
    assert read.metadata_props[OUTPUT_KEY] == scores.name


def without_a_value(model: onnx.ModelProto) -> str:
    del model.graph.initializer[0]
    model.graph.node.insert(0, helper.make_node("Constant", [], ["fc1.weight"]))
    return "the constant fc1.weight holds no value"


def without_an_output(model: onnx.ModelProto) -> str:
    model.graph.node.insert(0, helper.make_node("Constant", [], [], name="bare", value_int=1))
    return "the constant node 'bare' has no output"


def with_bytes_missing(model: onnx.ModelProto) -> str:
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-3]
    return "the data of fc1.weight do not fit its type and shape"


def with_numbers_missing(model: onnx.ModelProto) -> str:
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]
    return "the data of fc1.weight do not fit its type and shape"


def with_another_shape(model: onnx.ModelProto) -> str:
    del model.graph.initializer[1].dims[:]
    return "the data of fc1.bias do not fit its type and shape"


def with_texts_missing(model: onnx.ModelProto) -> str:
    model.graph.initializer[1].data_type = TensorProto.STRING
    model.graph.initializer[1].ClearField("raw_data")
    return "the data of fc1.bias do not fit its type and shape"


def with_numbers_of_a_type_that_is_stored_as_bytes(model: onnx.ModelProto) -> str:
    model.graph.initializer[1].data_type = TensorProto.FLOAT8E5M2FNUZ
    model.graph.initializer[1].ClearField("raw_data")
    model.graph.initializer[1].float_data.extend([0.0] * 16)
    return "the data of fc1.bias do not fit its type and shape (Unsupported dtype FLOAT8E5M2FNUZ for float_data)"


def with_an_unknown_type(model: onnx.ModelProto) -> str:
    model.graph.initializer[0].data_type = 99
    return "the graph is damaged: 99 is not a valid DataType"


def with_a_repeated_output(model: onnx.ModelProto) -> str:
    model.graph.node[1].output[0] = model.graph.node[0].output[0]
    return "the graph is damaged: Output 't0' is redeclared"


def with_a_result_called_as_a_weight(model: onnx.ModelProto) -> str:
    model.graph.node[0].output[0] = "fc1.weight"
    return "the result of a node are both called fc1.weight; rename the parameter or buffer in the model"


@pytest.mark.parametrize(
    "damage",
    [
        without_a_value,
        without_an_output,
        with_bytes_missing,
        with_numbers_missing,
        with_another_shape,
        with_texts_missing,
        with_numbers_of_a_type_that_is_stored_as_bytes,
        with_an_unknown_type,
        with_a_repeated_output,
        with_a_result_called_as_a_weight,
    ],
)
def test_parts_that_contradict_each_other(file: Path, damage: Callable[[onnx.ModelProto], str]) -> None:
    model = mlp()
    message = damage(model)
    file.write_bytes(model.SerializeToString())
    assert message in refusal(file)


def test_names_that_are_no_text(file: Path) -> None:
    content = mlp().SerializeToString()
    file.write_bytes(content.replace(b"fc1.weight", b"fc1.we\xaeght"))
    assert "a text in the file (input) is not UTF-8" in refusal(file)


def test_the_name_of_a_constant_s_tensor_that_is_no_text(file: Path) -> None:
    model = mlp()
    tensor = helper.make_tensor("odd_name", TensorProto.FLOAT, [1], [0.0])
    model.graph.node.insert(0, helper.make_node("Constant", [], ["unread"], value=tensor))
    file.write_bytes(model.SerializeToString().replace(b"odd_name", b"odd\xffname"))
    assert "a text in the file (name) is not UTF-8; export or download the model again" in refusal(file)


def test_bytes_that_need_be_no_text(file: Path) -> None:
    model = mlp()
    texts = helper.make_tensor("texts", TensorProto.STRING, [1], [b"\xff\xfe"])
    model.graph.node.insert(0, helper.make_node("Constant", [], ["unread"], value=texts))
    onnx.save(model, file)
    load_model(file)


def test_metadata_of_a_foreign_file_mean_nothing(file: Path) -> None:
    proto = mlp()
    entry = onnx.StringStringEntryProto
    for place in (proto, proto.graph, *proto.graph.node, *proto.graph.initializer):
        for key in (ROLE_KEY, LAYER_KEY, PASS_KEY, PLAN_KEY, OPTIMIZER_KEY):
            place.metadata_props.append(entry(key=key, value="nonsense"))
    proto.metadata_props.append(entry(key="author", value="somebody"))
    onnx.save(proto, file)
    model = load_model(file)
    assert model.metadata_props == {"author": "somebody"}
    plain = ir.from_proto(mlp())
    for one in (model, plain):
        ImportForward()(one)
    roles = [{str(v.name): role_of(v) for v in one.graph.initializers.values()} for one in (model, plain)]
    assert roles[0] == roles[1]


def test_metadata_of_a_file_that_a_pass_wrote_stay(file: Path) -> None:
    model = load_model(file)
    ImportForward()(model)
    write_graph(model, file)
    again = load_model(file)
    assert not ImportForward()(again).modified
    assert again.metadata_props == model.metadata_props


def test_an_attribute_that_is_no_text(file: Path) -> None:
    proto = onnx.load(file)
    proto.graph.node[1].attribute.add(name="auto_pad", type=onnx.AttributeProto.STRING, s=b"\x9dAME_UPPER")
    onnx.save(proto, file)
    assert "the attribute auto_pad of node" in refusal(file)


@pytest.mark.parametrize("kind", ["GRAPHS", "FLOAT", "STRING"])
def test_an_attribute_of_another_type(file: Path, kind: str) -> None:
    proto = onnx.load(file)
    node = next(one for one in proto.graph.node if one.op_type == "Gemm")
    del node.attribute[:]
    node.attribute.add(name="transB", type=getattr(onnx.AttributeProto, kind))
    onnx.save(proto, file)
    assert f"the attribute transB of node Gemm is of type {kind}, not INT" in refusal(file)


def test_two_initializers_of_one_name(file: Path) -> None:
    proto = onnx.load(file)
    proto.graph.initializer.append(proto.graph.initializer[0])
    onnx.save(proto, file)
    assert f"two initializers are called {proto.graph.initializer[0].name}; export the model again" in refusal(file)


def test_an_opset_beyond_all_numbers_of_opsets(file: Path) -> None:
    proto = onnx.load(file)
    proto.opset_import[0].version = 2**62
    onnx.save(proto, file)
    assert "opset" in refusal(file)


@pytest.mark.parametrize("groups", [0, -1, 7, 2**40])
def test_groups_that_do_not_divide_the_channels(groups: int, file: Path) -> None:
    proto = ZOO["cnn_bn"]()
    conv = next(node for node in proto.graph.node if node.op_type == "Conv")
    conv.attribute.append(helper.make_attribute("group", groups))
    onnx.save(proto, file)
    assert f"is {groups}, which does not divide" in refusal(file)
