"""Removing units against setting their elements to zero, and the graphs that the tests of passes/channels share."""

import functools
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnx_ir.passes.common import CheckerPass, ShapeInferencePass

from models.export import COLOUR, export
from models.resnet import resnet18
from models.small import depthwise_cnn
from models.transformer import transformer
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.channels.spaces import Channels, element_flags
from sparcl_compile.passes.core.edit import array_of, set_array
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.importing import verify
from sparcl_compile.passes.lowering.shrink_channels import shrink
from tests.support.gradient_check import imported
from tests.support.zoo import CLASSES, IMAGE, Net

ROWS = 4
Keep = dict[str, np.ndarray]


def array(model: ir.Model, name: str) -> np.ndarray:
    data = array_of(model.graph.initializers[name])
    assert data is not None
    return data


def random_keep(channels: Channels, random: np.random.Generator) -> Keep:
    """Some units of every space, at least one, and never all of the first space."""
    keep = {}
    for number, space in enumerate(channels.spaces):
        count = random.integers(1, space.size + (number > 0))
        keep[space.name] = np.sort(random.choice(space.size, count, replace=False))
    return keep


def zeroed(model: ir.Model, channels: Channels, keep: Mapping[str, np.ndarray]) -> ir.Model:
    """A copy whose parameters are zero wherever a removed unit has an element."""
    copy = model.clone()
    flags = {s.name: np.isin(np.arange(s.size), keep.get(s.name, np.arange(s.size))) for s in channels.spaces}
    for name, axes in channels.axes.items():
        value = copy.graph.initializers[name]
        if role_of(value) is not Role.PARAMETER:
            continue
        data = array(copy, name)
        for axis, segments in axes.items():
            shape = [1] * data.ndim
            shape[axis] = -1
            data = data * element_flags(segments, flags).reshape(shape).astype(np.float32)
        set_array(value, data)
    return copy


def shrunk(model: ir.Model, channels: Channels, keep: Mapping[str, np.ndarray]) -> ir.Model:
    """A copy without the other units, which the checker accepts."""
    copy = model.clone()
    shrink(copy, channels, keep)
    ShapeInferencePass()(copy)
    CheckerPass(full_check=True)(copy)
    return copy


def outputs(model: ir.Model) -> dict[str, np.ndarray]:
    """All outputs of a model for a fixed random batch."""
    shape = [int(d) for d in list(model.graph.inputs[0].shape or ())[1:]]  # type: ignore[arg-type]
    session = verify.session(ir.to_proto(model))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": verify.random_input((ROWS, *shape))}), strict=True))


def in_eval_form(model: ir.Model) -> ir.Model:
    """A copy that normalises by its running statistics."""
    copy = model.clone()
    for node in copy.graph:
        if node.op_type == "BatchNormalization":
            node.attributes.pop("training_mode")
            node.resize_outputs(1)
    del copy.graph.outputs[1:]
    return copy


def assert_exact(model: ir.Model, channels: Channels, keep: Mapping[str, np.ndarray], changes: bool = True) -> None:
    """The model without the units answers as the one with zeros, in training and in evaluation form."""
    zeros, small = zeroed(model, channels, keep), shrunk(model, channels, keep)
    for form in (ir.Model.clone, in_eval_form):
        wanted, got = outputs(form(zeros)), outputs(form(small))
        assert_close(got["logits"], wanted["logits"])
        for name in wanted.keys() - {"logits"}:
            segments = channels.axes.get(name.removesuffix(".next"), {}).get(0)
            alive = {s.name: np.isin(np.arange(s.size), keep[s.name]) for s in channels.spaces}
            chosen = wanted[name][element_flags(segments, alive)] if segments else wanted[name]
            assert_close(got[name], chosen)
    if changes:
        assert not np.allclose(outputs(zeros)["logits"], outputs(model)["logits"], rtol=1e-4, atol=1e-4)


def assert_close(got: np.ndarray, wanted: np.ndarray) -> None:
    scale = max(1.0, float(np.abs(wanted).max()))
    assert got.shape == wanted.shape
    assert float(np.abs(got - wanted).max()) < 1e-5 * scale


def from_torch(make: Callable[[], torch.nn.Module]) -> onnx.ModelProto:
    with torch.random.fork_rng(), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        export(make(), COLOUR, Path(folder) / "model.onnx")
        return onnx.load(Path(folder) / "model.onnx")


def flattened(last: bool) -> onnx.ModelProto:
    """A convolution whose 8 x 8 positions are flattened with the 4 channels, which come first or last."""
    net = Net(IMAGE)
    net.conv("stem", 3, 4)
    net.op("Relu")
    if last:
        net.op("Transpose", perm=[0, 2, 3, 1])
    net.op("Flatten")
    net.op("Gemm", net.weight("fc.weight", CLASSES, 256), net.weight("fc.bias", CLASSES), transB=1)
    return net.model()


def dense_block() -> onnx.ModelProto:
    """Two dense layers, a transition, and a third that reads everything."""
    net = Net(IMAGE)
    before = net.conv("stem", 3, 4)
    for number, width in ((1, 4), (2, 7)):
        net.bn(f"bn{number}", width)
        net.op("Relu")
        net.conv(f"dense{number}", width, 3)
        before = net.op("Concat", net.last, source=before, axis=1)
    net.conv("transition", 10, 5, size=1)
    net.op("Relu")
    return net.head(5)


def grouped() -> onnx.ModelProto:
    net = Net(IMAGE)
    net.conv("stem", 3, 8)
    net.op("Relu")
    net.conv("grouped", 8, 12, group=4)
    net.bn("bn", 12)
    return net.head(12)


def padded_shortcut() -> onnx.ModelProto:
    """The parameter-free shortcut of ResNet: strided, with zeros for the new channels."""
    net = Net(IMAGE)
    start = net.conv("stem", 3, 4)
    main = net.conv("body", 4, 8, strides=[2, 2])
    bounds = [net.ints("starts", 0, 0), net.ints("ends", 8, 8), net.ints("axes", 2, 3), net.ints("steps", 2, 2)]
    net.op("Slice", *bounds, source=start)
    net.op("Pad", net.ints("pads", 0, 2, 0, 0, 0, 2, 0, 0))
    net.op("Add", main)
    net.op("Relu")
    return net.head(8)


def gated(sizes: bool) -> onnx.ModelProto:
    """Half of the channels gate the other half (GLU)."""
    net = Net(IMAGE)
    net.conv("stem", 3, 8)
    more = [net.ints("sizes", 4, 4)] if sizes else []
    half = net.op("Split", *more, outputs=2, axis=1, **({} if sizes else {"num_outputs": 2}))
    gate = net.op("Sigmoid", source=f"{half}_1")
    net.op("Mul", gate, source=half)
    net.conv("body", 4, 6)
    return net.head(6)


def uneven_split() -> onnx.ModelProto:
    """Channels that part ways: one part is convolved, the other passes, and both are joined in another order."""
    net = Net(IMAGE)
    net.conv("stem", 3, 8)
    part = net.op("Split", net.ints("sizes", 3, 5), outputs=2, axis=1)
    rest = f"{part}_1"
    net.conv("body", 3, 4)
    net.op("Concat", net.last, source=rest, axis=1)
    net.op("Relu")
    return net.head(9)


def expanded() -> onnx.ModelProto:
    """A gate of [N, C, 1, 1] expanded to positions and repeated along the channels of a concatenation."""
    net = Net(IMAGE)
    start = net.conv("stem", 3, 4)
    net.op("GlobalAveragePool")
    net.op("Expand", net.ints("shape", 1, 4, 8, 8))
    net.op("Mul", start)
    net.op("Tile", net.ints("repeats", 1, 2, 1, 1))
    net.conv("body", 8, 6)
    return net.head(6)


def tokens_mixer() -> onnx.ModelProto:
    """A two-layer perceptron over the positions, as in MLP-Mixer, and a product with the weight on the left."""
    net = Net(["batch", 3, 4, 4])
    net.conv("stem", 3, 6)
    start = net.op("Reshape", net.ints("flat", 0, 6, 16))
    net.op("MatMul", net.weight("mix1", 16, 10))
    net.op("Relu")
    net.op("MatMul", net.weight("mix2", 10, 16))
    total = net.op("Add", start)
    net.op("MatMul", total, source=net.weight("left", 7, 6))
    net.op("ReduceMean", axes=[2], keepdims=0)
    net.op("Gemm", net.weight("fc.weight", 7, CLASSES), net.weight("fc.bias", CLASSES))
    model = net.model()
    model.opset_import[0].version = 17
    return model


GRAPHS: dict[str, Callable[[], onnx.ModelProto]] = {
    "resnet": lambda: from_torch(lambda: resnet18(8, CLASSES, (2, 2))),
    "depthwise_cnn": lambda: from_torch(lambda: depthwise_cnn(8, CLASSES)),
    "transformer": lambda: from_torch(lambda: transformer(16, CLASSES)),
    "flattened": lambda: flattened(last=False),
    "flattened_last": lambda: flattened(last=True),
    "gated": lambda: gated(sizes=False),
    "gated_sizes": lambda: gated(sizes=True),
    **{
        builder.__name__: builder
        for builder in (dense_block, grouped, padded_shortcut, uneven_split, expanded, tokens_mixer)
    },
}


@functools.cache
def graph(name: str) -> ir.Model:
    """One of GRAPHS, imported; not to be changed."""
    return imported(GRAPHS[name]())
