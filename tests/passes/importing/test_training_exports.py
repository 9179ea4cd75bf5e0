"""Models that were exported for training, and heads that squeeze the batch away, are taken as their users mean them."""

import io
import warnings

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, helper

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.importing import rewrites, verify
from tests.support.gradient_check import imported
from tests.support.zoo import CLASSES, IMAGE, Net, cnn_bn


def in_training_form(proto: onnx.ModelProto, *, outputs: bool = False) -> onnx.ModelProto:
    """The model with every BatchNormalization in training form; ``outputs``: their statistics are outputs."""
    for node in proto.graph.node:
        if node.op_type == "BatchNormalization":
            node.attribute.append(helper.make_attribute("training_mode", 1))
            names = [f"{node.name}{node.output[0]}.{part}" for part in ("mean", "var")]
            node.output.extend(names)
            infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["C"]) for name in names]
            proto.graph.output.extend(infos if outputs else [])
    return proto


def logits(proto: onnx.ModelProto, rows: int = 5) -> np.ndarray:
    """The imported model's answer in inference form."""
    model = imported(proto)
    for node in model.graph:
        if node.op_type == "BatchNormalization":
            node.attributes.pop("training_mode")
            node.resize_outputs(1)
    del model.graph.outputs[1:]
    shape = [int(d) for d in list(model.graph.inputs[0].shape or ())[1:]]  # type: ignore[arg-type]
    return verify.run(ir.to_proto(model), verify.random_input((rows, *shape), seed=7), "logits")


@pytest.mark.parametrize("outputs", [False, True])
def test_batch_normalization_in_training_form_is_that_of_inference(outputs: bool) -> None:
    model = imported(in_training_form(cnn_bn(), outputs=outputs))
    assert {str(v.name) for v in model.graph.outputs[1:]} == {
        f"bn{i}.{p}.next" for i in (1, 2) for p in ("mean", "var")
    }
    np.testing.assert_array_equal(logits(in_training_form(cnn_bn(), outputs=outputs)), logits(cnn_bn()))


def with_dropout() -> onnx.ModelProto:
    net = Net(["batch", 6])
    net.op("Gemm", net.weight("w1", 6, 8))
    net.op("Dropout", net.array("ratio", 0.5), net.array("training", True, np.bool_), outputs=2)
    net.op("Gemm", net.weight("w2", 8, CLASSES))
    return net.model()


def test_dropout_in_training_form_is_left_out() -> None:
    assert [node.op_type for node in imported(with_dropout()).graph] == ["Gemm", "Gemm"]


def test_an_export_of_pytorch_for_training() -> None:
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.Dropout(0.5),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 5),
    )
    net(torch.randn(16, 3, 4, 4))  # moves the running statistics
    file, mode = io.BytesIO(), torch.onnx.TrainingMode.TRAINING
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.train(), (torch.randn(2, 3, 4, 4),), file, training=mode, do_constant_folding=False, dynamo=False
        )
    found = logits(onnx.load_model_from_string(file.getvalue()))
    x = torch.from_numpy(verify.random_input((5, 3, 4, 4), seed=7))
    np.testing.assert_allclose(found, net.eval()(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_the_exporter_by_torch_export_keeps_batch_normalization_where_it_does_not_optimise() -> None:
    """It writes the zero bias of a convolution as a CastLike."""
    convolutions = [torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4), torch.nn.ReLU()]
    net = torch.nn.Sequential(*convolutions, torch.nn.Flatten(), torch.nn.Linear(16, 5))
    net(torch.randn(16, 3, 4, 4))  # moves the running statistics
    file, rows = io.BytesIO(), torch.export.Dim("N")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(), (torch.randn(2, 3, 4, 4),), file, optimize=False, dynamic_shapes=({0: rows},), verbose=False
        )
    proto = onnx.load_model_from_string(file.getvalue())
    assert "CastLike" in {node.op_type for node in proto.graph.node}
    assert [node.op_type for node in imported(proto).graph].count("BatchNormalization") == 1
    x = torch.from_numpy(verify.random_input((5, 3, 4, 4), seed=7))
    np.testing.assert_allclose(logits(proto), net.eval()(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_cast_to_a_type_that_nobody_knows_is_refused() -> None:
    net = Net(["batch", 6])
    net.op("Gemm", net.weight("w", 6, CLASSES))
    model = ir.from_proto(net.model())
    node = next(iter(model.graph))
    unknown = ir.Value(name="unknown")
    cast = ir.Node("", "CastLike", [node.outputs[0], unknown])
    model.graph.append(cast)
    assert not rewrites.rewrite(model.graph, [cast], "ort")


def squeezed(batch: int | str, *, opset: int = 18, tail: bool = False) -> onnx.ModelProto:
    """A head behind ``x.squeeze()``, or with ``tail`` a squeeze of the scores themselves."""
    net = Net([batch, *IMAGE[1:]], opset=opset)
    net.conv("stem", 3, 6)
    net.op("Relu")
    net.op("GlobalAveragePool")
    if tail:
        net.conv("fc", 6, CLASSES, size=1)
    net.op("Squeeze")
    if not tail:
        net.op("MatMul", net.weight("fc.weight", 6, CLASSES))
    proto = net.model()
    shape = proto.graph.output[0].type.tensor_type.shape
    if batch == 1:
        del shape.dim[0]
    return proto


@pytest.mark.parametrize("batch", [1, 4, "batch"])
@pytest.mark.parametrize("opset", [11, 18])
@pytest.mark.parametrize("tail", [False, True])
def test_a_squeeze_of_all_axes_leaves_the_batch(batch: int | str, opset: int, tail: bool) -> None:
    proto = squeezed(batch, opset=opset, tail=tail)
    graph = imported(squeezed(batch, opset=opset, tail=tail)).graph
    assert graph.outputs[0].shape == ir.Shape(["N", CLASSES])
    x = verify.random_input((4, 3, 8, 8), seed=7)
    size = 1 if batch == 1 else 4
    wanted = verify.run_by_definition(proto, x, proto.graph.output[0].name, batch=size)
    np.testing.assert_allclose(logits(proto, rows=4), wanted, rtol=1e-4, atol=1e-5)


def test_a_linear_head_behind_a_squeeze() -> None:
    net = Net(IMAGE)
    net.conv("stem", 3, 6)
    net.op("GlobalAveragePool")
    net.op("Squeeze")
    net.op("Gemm", net.weight("fc.weight", 6, CLASSES), net.weight("fc.bias", CLASSES))
    assert imported(net.model()).graph.outputs[0].shape == ir.Shape(["N", CLASSES])


def test_a_model_that_mixes_its_rows_is_refused_behind_a_squeeze_too() -> None:
    net = Net(IMAGE)
    net.conv("stem", 3, 6)
    net.op("GlobalAveragePool")
    scores = net.op("MatMul", net.weight("fc.weight", 6, CLASSES), source=net.op("Squeeze"))
    net.op("Sub", net.op("ReduceMean", net.ints("rows", 0), source=scores), source=scores)
    with pytest.raises(ModelError, match="mixes the rows of a batch"):
        imported(net.model())
