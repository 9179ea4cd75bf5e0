"""Files that are, and files that are not, ONNX models."""

from pathlib import Path

import onnx
import pytest
from onnx import helper

from sparcl_compile.compiling.load import load_model
from sparcl_compile.interface.errors import ModelError
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


@pytest.mark.parametrize("opset", [6, 22])
def test_opsets_out_of_range(file: Path, opset: int) -> None:
    model = mlp()
    model.opset_import[0].version = opset
    onnx.save(model, file)
    assert f"opset {opset}" in refusal(file)


def test_custom_domains(file: Path) -> None:
    model = mlp()
    model.graph.node[1].domain = "com.acme"
    model.opset_import.append(helper.make_opsetid("com.acme", 1))
    onnx.save(model, file)
    assert "com.acme" in refusal(file)
