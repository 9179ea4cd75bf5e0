"""Opsets behind 21 are taken when nothing new is used, and else the node is named."""

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.core.contract import OPSET
from sparcl_compile.passes.importing import verify
from sparcl_compile.passes.importing.import_forward import ImportForward
from sparcl_compile.passes.importing.opset import RUNTIME_OPSET, to_runtime_opset
from tests.passes.importing.test_differentiable import TOLERANCE
from tests.support.gradient_check import imported, worst_gradient
from tests.support.zoo import CLASSES, HAND_MADE, IMAGE, Net

NEWEST = onnx.defs.onnx_opset_version()
NEWER = range(22, NEWEST + 1)


def newest_form(name: str, opset: int) -> onnx.ModelProto:
    """A model of the zoo as an exporter of another opset writes it."""
    proto = HAND_MADE[name]()
    return onnx.version_converter.convert_version(proto, opset)


@pytest.mark.parametrize("opset", NEWER)
@pytest.mark.parametrize("name", ["cnn_bn", "channels_last", "conv_head", "group_norm_21"])
def test_newer_opsets_that_use_nothing_new_answer_the_same(name: str, opset: int) -> None:
    proto = HAND_MADE[name]() if name == "group_norm_21" else newest_form(name, opset)
    proto.opset_import[0].version = opset
    model = imported(proto)
    assert model.graph.opset_imports == {"": OPSET}
    assert [node.op_type for node in model.graph] == [node.op_type for node in imported(HAND_MADE[name]()).graph]


@pytest.mark.parametrize("opset", NEWER)
def test_the_original_of_a_newer_opset_is_run_by_the_runtime(opset: int) -> None:
    proto = newest_form("cnn_bn", opset)
    model = ir.from_proto(proto)
    to_runtime_opset(model)
    assert model.graph.opset_imports == {"": RUNTIME_OPSET}
    x = verify.random_input((3, 3, 8, 8))
    output = proto.graph.output[0].name
    found = verify.run(verify.runnable(model), x, output)
    np.testing.assert_allclose(found, verify.run_by_definition(proto, x, output, 3), rtol=1e-4, atol=1e-5)


def with_pool(**attributes: object) -> onnx.ModelProto:
    net = Net(IMAGE, opset=22)
    net.conv("stem", 3, 6)
    net.op("AveragePool", kernel_shape=[2, 2], **attributes)
    net.nodes[-1].name = "odd"
    return net.head(6)


def test_a_newer_attribute_with_its_usual_value_is_nothing_new() -> None:
    assert imported(with_pool(dilations=[1, 1])).graph.outputs[0].shape == ir.Shape(["N", CLASSES])


def casted() -> onnx.ModelProto:
    net = Net(["batch", 6], opset=24)
    net.op("Cast", to=TensorProto.FLOAT8E4M3FN)
    net.nodes[-1].name = "odd"
    net.op("Cast", to=TensorProto.FLOAT, round_mode="up", saturate=1)
    net.op("Gemm", net.weight("w", 6, CLASSES))
    return net.model()


def resized() -> onnx.ModelProto:
    net = Net(IMAGE, opset=23)
    net.conv("stem", 3, 6)
    scales = net.array("scales", [1, 1, 2, 2])
    mode = "half_pixel_symmetric"
    source = net.last
    net.nodes.append(
        helper.make_node("Resize", [source, "", scales], ["r"], name="odd", coordinate_transformation_mode=mode)
    )
    net.last = "r"
    return net.head(6)


def attention() -> onnx.ModelProto:
    net = Net(["batch", 4, 6], opset=23)
    x = net.op("MatMul", net.weight("w", 6, 6))
    net.op("Attention", x, x, q_num_heads=2, kv_num_heads=2)
    net.nodes[-1].name = "odd"
    net.op("ReduceMean", net.ints("axes", 1), keepdims=0)
    net.op("Gemm", net.weight("fc", 6, CLASSES))
    return net.model()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (casted, r"Cast \(odd\) casts to a type of a newer opset"),
        (resized, r"Resize \(odd\) uses the newer coordinate_transformation_mode half_pixel_symmetric"),
        (attention, r"Attention \(odd\) is not in opset 18"),
    ],
)
def test_what_is_new_is_named(make: Callable[[], onnx.ModelProto], problem: str) -> None:
    with pytest.raises(ModelError, match=rf"{problem}.*; export again with opset_version=18, or say it in other"):
        imported(make())


@pytest.mark.parametrize("opset", [6, NEWEST + 1])
def test_opsets_that_nobody_knows_are_refused(opset: int) -> None:
    proto = HAND_MADE["mlp"]()
    proto.opset_import[0].version = opset
    with pytest.raises(ModelError, match=f"opset {opset} is outside 7 to {NEWEST}"):
        ImportForward()(ir.from_proto(proto))


def test_a_dilated_pool_is_a_convolution() -> None:
    model = imported(with_pool(dilations=[2, 2]))  # the import compares with the definition
    assert "AveragePool" not in [node.op_type for node in model.graph]


def test_newer_operators_that_are_a_few_older_ones() -> None:
    net = Net(["batch", 6], opset=24)
    net.op("Gemm", net.weight("w", 6, 8))
    net.op("Swish", alpha=1.5)
    net.op("RMSNormalization", net.weight("scale", 8), epsilon=1e-3)
    net.op("Gemm", net.weight("fc", 8, CLASSES))
    model = imported(net.model())  # the import compares with the definition
    assert "Swish" not in [node.op_type for node in model.graph]
    assert worst_gradient(model)[0] < TOLERANCE
