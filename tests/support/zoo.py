"""Small classifiers in the many forms that exporters write: every test that needs "some model" takes one here.

``ZOO`` maps a name to a builder of an ``onnx.ModelProto``; all have five classes. Weights are drawn from a fixed seed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.zoo_torch import TORCH_ZOO

CLASSES = 5
Builder = Callable[[], onnx.ModelProto]


class Net:
    """Chains nodes; weights may become initializers, Constant nodes or graph inputs as well."""

    def __init__(self, shape: list[int | str], opset: int = 18, ir_version: int = 8) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.shape, self.opset, self.ir_version = shape, opset, ir_version
        self.last = "image"
        self.random = np.random.default_rng(0)

    def weight(self, name: str, *shape: int, positive: bool = False) -> str:
        array = self.random.normal(scale=0.5, size=shape)
        return self.array(name, np.abs(array) + 0.5 if positive else array)

    def array(self, name: str, value: Any, dtype: type = np.float32) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def ints(self, name: str, *values: int) -> str:
        return self.array(name, values, np.int64)

    def op(self, op_type: str, *inputs: str, outputs: int = 1, source: str | None = None, **attributes: Any) -> str:
        first = self.last if source is None else source
        name = f"t{len(self.nodes)}"
        names = [name, *(f"{name}_{i}" for i in range(1, outputs))]
        self.nodes.append(helper.make_node(op_type, [first, *inputs], names, **attributes))
        self.last = name
        return name

    def bn(self, name: str, channels: int, **attributes: Any) -> str:
        parts = [self.weight(f"{name}.{part}", channels, positive=part in ("scale", "var")) for part in BN_PARTS]
        return self.op("BatchNormalization", *parts, **attributes)

    def conv(self, name: str, into: int, out: int, size: int = 3, group: int = 1, **attributes: Any) -> str:
        weight = self.weight(f"{name}.weight", out, into // group, size, size)
        if "auto_pad" not in attributes:
            attributes["pads"] = [size // 2] * 4
        return self.op("Conv", weight, group=group, **attributes)

    def head(self, width: int) -> onnx.ModelProto:
        self.op("GlobalAveragePool")
        self.op("Flatten")
        self.op("Gemm", self.weight("fc.weight", CLASSES, width), self.weight("fc.bias", CLASSES), transB=1)
        return self.model()

    def model(self, rank: int = 2, inputs: bool = False) -> onnx.ModelProto:
        out_shape = [self.shape[0], CLASSES, *[1] * (rank - 2)]
        ins = [helper.make_tensor_value_info("image", TensorProto.FLOAT, self.shape)]
        if inputs:
            ins += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in self.initializers]
        out = [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, out_shape)]
        graph = helper.make_graph(self.nodes, "zoo", ins, out, self.initializers)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=self.ir_version)


BN_PARTS = ("scale", "bias", "mean", "var")
IMAGE: list[int | str] = ["batch", 3, 8, 8]


def mlp() -> onnx.ModelProto:
    net = Net(["batch", 12])
    net.op("Gemm", net.weight("fc1.weight", 16, 12), net.weight("fc1.bias", 16), transB=1)
    net.op("Relu")
    net.op("Gemm", net.weight("fc2.weight", 16, CLASSES), net.weight("fc2.bias", CLASSES))
    return net.model()


def mlp_matmul() -> onnx.ModelProto:
    net = Net([1, 3, 2, 2], opset=11)
    net.op("Reshape", net.ints("shape", 1, 12))
    net.op("MatMul", net.weight("w1", 12, 16))
    net.op("Add", net.weight("b1", 16))
    net.op("Tanh")
    net.op("MatMul", net.weight("w2", 16, CLASSES))
    net.op("Add", net.weight("b2", CLASSES))
    return net.model()


def cnn_bn(opset: int = 18) -> onnx.ModelProto:
    net = Net(IMAGE, opset=opset)
    net.conv("stem", 3, 6)
    net.bn("bn1", 6)
    net.op("Relu")
    net.op("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    net.conv("body", 6, 8)
    net.bn("bn2", 8)
    net.op("Relu")
    return net.head(8)


def bn_opset_7() -> onnx.ModelProto:
    return cnn_bn(opset=7)


def old_ir() -> onnx.ModelProto:
    """IR version 3 lists every initializer among the inputs; opset 8 reshapes a weight in the graph."""
    net = Net([1, 3, 4, 4], opset=8, ir_version=3)
    net.conv("stem", 3, 4)
    net.op("Relu")
    net.op("Reshape", net.ints("flat", 1, 64))
    flat = net.last
    reshaped = net.op("Reshape", net.ints("wshape", 64, CLASSES), source=net.weight("fc", 4, 16, CLASSES))
    net.op("MatMul", reshaped, source=flat)
    net.op("Add", net.weight("fc.bias", 1, CLASSES))
    return net.model(inputs=True)


def cnn_folded() -> onnx.ModelProto:
    """BatchNormalization already folded into the convolutions."""
    net = Net([2, 3, 8, 8], opset=13)
    net.op("Conv", net.weight("c1.weight", 6, 3, 3, 3), net.weight("c1.bias", 6), auto_pad="SAME_UPPER", strides=[2, 2])
    net.op("Relu")
    net.op("Conv", net.weight("c2.weight", 8, 6, 3, 3), net.weight("c2.bias", 8), pads=[1] * 4)
    net.op("Relu")
    return net.head(8)


def mobilenet() -> onnx.ModelProto:
    net = Net(IMAGE, opset=13)
    net.conv("stem", 3, 4)
    net.bn("stem.bn", 4)
    start = net.op("Clip", net.array("zero", 0.0), net.array("six", 6.0))
    net.conv("expand", 4, 8, size=1)
    net.bn("expand.bn", 8)
    net.op("Clip", "zero", "six")
    net.conv("depthwise", 8, 8, group=8)
    net.bn("depthwise.bn", 8)
    net.op("Clip", "zero", "six")
    net.conv("project", 8, 4, size=1)
    net.bn("project.bn", 4)
    net.op("Add", start)
    return net.head(4)


def resnet() -> onnx.ModelProto:
    net = Net([1, 3, 8, 8], opset=9)
    net.conv("stem", 3, 4)
    net.bn("stem.bn", 4)
    start = net.op("Relu")
    net.conv("block.conv1", 4, 8, strides=[2, 2])
    net.bn("block.bn1", 8)
    net.op("Relu")
    net.conv("block.conv2", 8, 8)
    main = net.bn("block.bn2", 8)
    net.last = start
    net.conv("block.shortcut", 4, 8, size=1, strides=[2, 2])
    net.bn("block.shortcut.bn", 8)
    net.op("Add", main)
    pooled = net.op("GlobalAveragePool") if net.op("Relu") else ""
    net.op("Shape")
    net.op("Gather", net.array("first", 0, np.int64), axis=0)
    net.op("Unsqueeze", axes=[0])
    target = net.op("Concat", net.ints("rest", -1), axis=0)
    net.op("Reshape", target, source=pooled)
    net.op("Gemm", net.weight("fc.weight", CLASSES, 8), net.weight("fc.bias", CLASSES), transB=1)
    return net.model()


def channels_last() -> onnx.ModelProto:
    """A model as tf2onnx writes it: NHWC input, a Transpose around every convolution, SAME padding, Softmax."""
    net = Net(["batch", 8, 8, 3], opset=13)
    for name, into, out in (("conv1", 3, 4), ("conv2", 4, 6)):
        net.op("Transpose", perm=[0, 3, 1, 2])
        net.conv(name, into, out, auto_pad="SAME_UPPER", strides=[2, 2])
        net.op("Transpose", perm=[0, 2, 3, 1])
        net.op("Add", net.weight(f"{name}.bias", out))
        net.op("Relu")
    net.op("ReduceMean", axes=[1, 2], keepdims=0)
    net.op("MatMul", net.weight("dense", 6, CLASSES))
    net.op("Add", net.weight("dense.bias", CLASSES))
    net.op("Softmax", axis=-1)
    return net.model()


def conv_head() -> onnx.ModelProto:
    """Logits of shape [N, C, 1, 1]."""
    net = Net(IMAGE)
    net.conv("stem", 3, 6)
    net.op("Relu")
    net.op("GlobalAveragePool")
    net.conv("head", 6, CLASSES, size=1)
    return net.model(rank=4)


def constants_as_nodes() -> onnx.ModelProto:
    """Weights in Constant nodes, a bias from ConstantOfShape, and the nodes in reverse order."""
    model = mlp()
    nodes = [helper.make_node("Constant", [], [t.name], value=t) for t in model.graph.initializer[1:]]
    del model.graph.initializer[1:]
    nodes[0] = helper.make_node("ConstantOfShape", ["bias_shape"], [nodes[0].output[0]])
    model.graph.initializer.append(numpy_helper.from_array(np.asarray([16], np.int64), "bias_shape"))
    everything = [*model.graph.node, *nodes][::-1]
    del model.graph.node[:]
    model.graph.node.extend(everything)
    return model


def shared_by_identity() -> onnx.ModelProto:
    """Equal weights stored once and read through Identity, as PyTorch's exporter writes them."""
    net = Net(["batch", 8])
    shared = net.weight("shared", 8, 8)
    copy = net.op("Identity", source=shared)
    net.last = "image"
    net.op("MatMul", shared)
    net.op("Relu")
    net.op("MatMul", copy)
    net.op("Relu")
    net.op("Gemm", net.weight("fc", 8, CLASSES), net.weight("fc.bias", CLASSES))
    return net.model()


def preprocessing() -> onnx.ModelProto:
    net = Net(IMAGE)
    net.op("Sub", net.weight("mean", 1, 3, 1, 1))
    net.op("Div", net.weight("std", 1, 3, 1, 1, positive=True))
    net.conv("stem", 3, 4)
    net.op("Relu")
    return net.head(4)


def two_outputs() -> onnx.ModelProto:
    """Probabilities, the predicted class, and no logits."""
    model = mlp()
    logits = model.graph.output[0].name
    model.graph.node.append(helper.make_node("Softmax", [logits], ["probabilities"], axis=1))
    model.graph.node.append(helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]))
    model.graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", CLASSES]))
    return model


def group_norm_21() -> onnx.ModelProto:
    net = Net(IMAGE, opset=21, ir_version=10)
    net.conv("stem", 3, 6)
    net.op("GroupNormalization", net.weight("scale", 6), net.weight("shift", 6), num_groups=2)
    net.op("Gelu")
    return net.head(6)


def local_response() -> onnx.ModelProto:
    net = Net(IMAGE, opset=11)
    net.conv("stem", 3, 6)
    net.op("LRN", size=3, alpha=0.1)
    return net.head(6)


HAND_MADE: dict[str, Builder] = {
    builder.__name__: builder
    for builder in (
        mlp, mlp_matmul, cnn_bn, bn_opset_7, old_ir, cnn_folded, mobilenet, resnet, channels_last, conv_head,
        constants_as_nodes, shared_by_identity, preprocessing, two_outputs, group_norm_21, local_response,
    )
}  # fmt: skip
ZOO: dict[str, Builder] = {**HAND_MADE, **TORCH_ZOO}
