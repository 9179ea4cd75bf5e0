"""Exports for a batch of 1 or another fixed number learn with any batch: as Keras, tf2onnx and PyTorch write them."""

import io
import warnings
from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import helper

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.importing import verify
from tests.passes.importing.test_differentiable import TOLERANCE
from tests.passes.importing.test_training_exports import logits
from tests.support.gradient_check import imported, worst_gradient
from tests.support.zoo import CLASSES, Net

ROWS = 8
Batch = int | str


def net_of(batch: Batch, *shape: int) -> Net:
    return Net([batch, *shape], opset=13)


def stem(net: Net) -> None:
    """[N, 8, 8, 3] to [N, 4, 8, 8], as tf2onnx writes a convolution."""
    net.op("Transpose", perm=[0, 3, 1, 2])
    net.conv("stem", 3, 4)
    net.op("Relu")


def dense(net: Net, width: int) -> onnx.ModelProto:
    net.op("Gemm", net.weight("fc", width, CLASSES), net.weight("fc.bias", CLASSES))
    return net.model()


def vector(net: Net, width: int) -> onnx.ModelProto:
    """A head that gives one row of scores without an axis for the batch."""
    net.op("MatMul", net.weight("fc", width, CLASSES))
    proto = net.model()
    del proto.graph.output[0].type.tensor_type.shape.dim[0]
    return proto


def flatten_by_number(batch: int) -> onnx.ModelProto:
    net = net_of(batch, 8, 8, 3)
    stem(net)
    net.op("Transpose", perm=[0, 2, 3, 1])
    net.op("Reshape", net.ints("flat", batch, 256))
    return dense(net, 256)


def flatten_the_rest(batch: int) -> onnx.ModelProto:
    net = net_of(batch, 8, 8, 3)
    stem(net)
    net.op("Reshape", net.ints("flat", batch, -1))
    return dense(net, 256)


def one_channel(batch: int) -> onnx.ModelProto:
    """tf2onnx makes a Reshape of a Transpose that moves one channel."""
    net = net_of(batch, 8, 8, 1)
    net.op("Reshape", net.ints("planes", batch, 1, 8, 8))
    net.conv("stem", 1, 4)
    net.bn("bn", 4)
    net.op("Reshape", net.ints("flat", batch, 256))
    return dense(net, 256)


def normalised_vector(batch: int) -> onnx.ModelProto:
    """tf2onnx gives a BatchNormalization of a vector two more axes."""
    net = net_of(batch, 12)
    net.op("Gemm", net.weight("w", 12, 16))
    net.op("Reshape", net.ints("planes", batch, 16, 1, 1))
    net.bn("bn", 16)
    net.op("Reshape", net.ints("flat", batch, 16))
    return dense(net, 16)


def computed_shape(batch: int) -> onnx.ModelProto:
    """tf2onnx's StridedSlice of the shape, joined with numbers."""
    net = net_of(batch, 8, 8, 3)
    stem(net)
    x = net.last
    net.op("Shape")
    net.op("Cast", to=onnx.TensorProto.INT32)
    net.op("Slice", net.ints("begin", 0), net.ints("end", 1), net.ints("axis", 0))
    net.op("Concat", net.array("width", [256], np.int32), axis=0)
    target = net.op("Cast", to=onnx.TensorProto.INT64)
    net.op("Reshape", target, source=x)
    return dense(net, 256)


def series(batch: int) -> onnx.ModelProto:
    """Keras' Conv1D: an axis is put in, and the convolution is one of images."""
    net = net_of(batch, 16, 3)
    net.op("Unsqueeze", net.ints("height", 1))
    net.op("Transpose", perm=[0, 3, 1, 2])
    net.op("Conv", net.weight("w", 4, 3, 1, 3))
    net.op("Squeeze", net.ints("height_again", 2))
    net.bn("bn", 4)
    net.op("Transpose", perm=[0, 2, 1])
    net.op("Reshape", net.ints("flat", batch, 56))
    return dense(net, 56)


def frames(batch: int) -> onnx.ModelProto:
    """Keras' TimeDistributed: frames join the batch and leave it."""
    net = net_of(batch, 5, 8, 8, 3)
    net.op("Reshape", net.ints("joined", 5 * batch, 8, 8, 3))
    stem(net)
    net.op("GlobalAveragePool")
    net.op("Reshape", net.ints("apart", batch, 5, 4))
    net.op("ReduceMean", axes=[1], keepdims=0)
    return dense(net, 4)


def token(batch: int) -> onnx.ModelProto:
    net = net_of(batch, 4, 6)
    x = net.last
    net.op("Expand", net.ints("shape", batch, 1, 6), source=net.weight("token", 1, 1, 6))
    net.op("Concat", x, axis=1)
    net.op("MatMul", net.weight("w", 6, 6))
    net.op("Gather", net.array("first", 0, np.int64), axis=1)
    return dense(net, 6)


def positions(batch: int) -> onnx.ModelProto:
    """Positions that the exporter has repeated for every row."""
    net = net_of(batch, 4, 6)
    net.op("MatMul", net.weight("w", 6, 6))
    rows = net.random.normal(size=(1, 4, 6))
    net.op("Add", net.array("positions", np.repeat(rows, batch, axis=0)))
    net.op("ReduceMean", axes=[1], keepdims=0)
    return dense(net, 6)


def resized(batch: int) -> onnx.ModelProto:
    net = net_of(batch, 3, 4, 4)
    net.conv("stem", 3, 4)
    node = helper.make_node("Resize", [net.last, "", "", net.ints("sizes", batch, 4, 8, 6)], ["r"], mode="linear")
    net.nodes.append(node)
    net.last = "r"
    return net.head(4)


def all_rows(batch: int) -> onnx.ModelProto:
    net = net_of(batch, 6)
    net.op("Slice", net.ints("begin", 0, 0), net.ints("end", batch, 5), net.ints("axes", 0, 1))
    return dense(net, 5)


def picked(batch: int) -> onnx.ModelProto:
    """``x[arange(N), 2]``, as GatherND."""
    net = net_of(batch, 4, 6)
    net.op("MatMul", net.weight("w", 6, 6))
    net.op("GatherND", net.array("places", [[row, 2] for row in range(batch)], np.int64))
    return dense(net, 6)


def picked_flat(batch: int) -> onnx.ModelProto:
    """``x[arange(N), 2]``, as a Gather of rows and tokens that were joined."""
    net = net_of(batch, 4, 6)
    net.op("MatMul", net.weight("w", 6, 6))
    net.op("Reshape", net.ints("joined", 4 * batch, 6))
    net.op("Gather", net.ints("places", *(4 * row + 2 for row in range(batch))), axis=0)
    return dense(net, 6)


ANY_BATCH = (
    flatten_by_number, flatten_the_rest, one_channel, normalised_vector, computed_shape, series, frames, token,
    positions, resized, all_rows, picked, picked_flat,
)  # fmt: skip


def flatten_from_the_front() -> onnx.ModelProto:
    net = net_of(1, 8, 8, 3)
    stem(net)
    net.op("Flatten", axis=0)
    return dense(net, 256)


def by_way_of_a_vector() -> onnx.ModelProto:
    net = net_of(1, 8, 8, 3)
    stem(net)
    net.op("Reshape", net.ints("vector", -1))
    net.op("Unsqueeze", net.ints("front", 0))
    return dense(net, 256)


def a_vector_as_plane() -> onnx.ModelProto:
    net = net_of(1, 12)
    net.op("Reshape", net.ints("vector", 12))
    net.op("Unsqueeze", net.ints("front", 0, 1))
    net.op("Conv", net.weight("w", 4, 1, 3))
    net.op("Flatten")
    return dense(net, 40)


def squeezed_and_back() -> onnx.ModelProto:
    net = net_of(1, 8, 8, 3)
    stem(net)
    net.op("GlobalAveragePool")
    net.op("Squeeze", net.ints("ones", 0, 2, 3))
    net.op("Unsqueeze", net.ints("front", 0))
    return dense(net, 4)


def scores_as_vector() -> onnx.ModelProto:
    net = net_of(1, 8, 8, 3)
    stem(net)
    net.op("GlobalAveragePool")
    net.op("Squeeze", net.ints("ones", 0, 2, 3))
    return vector(net, 4)


def first_row() -> onnx.ModelProto:
    net = net_of(1, 12)
    net.op("Gather", net.array("zero", 0, np.int64), axis=0)
    net.op("MatMul", net.weight("w", 12, 8))
    net.op("Unsqueeze", net.ints("front", 0))
    return dense(net, 8)


def axes_count_from_the_front() -> onnx.ModelProto:
    """Softmax, Transpose, means and a Concat behind ``x.squeeze(0)`` name axes of one row."""
    net = net_of(1, 4, 6)
    row = net.op("Squeeze", net.ints("front", 0))
    net.op("MatMul", net.weight("score", 6, 1))
    net.op("Softmax", axis=0)
    weighed = net.op("Mul", row)
    mean = net.op("ReduceMean", axes=[0], keepdims=0, source=weighed)
    net.op("Transpose", perm=[1, 0], source=row)
    net.op("ReduceMean", axes=[1], keepdims=0)
    net.op("Slice", net.ints("b", 1), net.ints("e", 5), net.ints("a", 0))
    net.op("Concat", mean, axis=0)
    return vector(net, 10)


def a_matrix_of_one_row() -> onnx.ModelProto:
    net = net_of(1, 4, 6)
    net.op("Squeeze", net.ints("front", 0))
    net.op("Gemm", net.weight("w", 6, 3), net.weight("b", 3))
    net.op("Reshape", net.ints("flat", 1, 12))
    return dense(net, 12)


BATCH_OF_ONE = (
    flatten_from_the_front, by_way_of_a_vector, a_vector_as_plane, squeezed_and_back, scores_as_vector, first_row,
    axes_count_from_the_front, a_matrix_of_one_row,
)  # fmt: skip


def check(proto: onnx.ModelProto, batch: int) -> None:
    """Compare the import with the original, a batch of the file's size at a time."""
    found = logits(proto, rows=ROWS)
    shape = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim][1:]
    x = verify.random_input((ROWS, *shape), seed=7)
    wanted = verify.run(proto, x, proto.graph.output[0].name, batch)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("make", ANY_BATCH)
def test_a_batch_that_is_written_into_a_node_becomes_any(make: Callable[[int], onnx.ModelProto], batch: int) -> None:
    check(make(batch), batch)


@pytest.mark.parametrize("make", BATCH_OF_ONE)
def test_a_batch_of_one_that_is_left_out_becomes_any(make: Callable[[], onnx.ModelProto]) -> None:
    check(make(), 1)


@pytest.mark.parametrize("make", [flatten_by_number, flatten_the_rest, one_channel, normalised_vector])
def test_a_symbolic_input_with_a_number_in_a_node(make: Callable[[int], onnx.ModelProto]) -> None:
    proto = make(4)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    check(proto, 4)


@pytest.mark.parametrize("make", [lambda: positions(4), lambda: resized(4), a_matrix_of_one_row, scores_as_vector])
def test_the_gradients_are_right(make: Callable[[], onnx.ModelProto]) -> None:
    worst, parameter = worst_gradient(imported(make()))
    assert worst < TOLERANCE, parameter


def test_repeated_positions_are_one_parameter() -> None:
    parameters = {str(v.name): list(v.shape or ()) for v in values_with_role(imported(positions(4)), Role.PARAMETER)}
    assert [1, 4, 6] in parameters.values()


class Rows(torch.nn.Module):
    """A classifier that takes one row out of its batch."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.conv, self.linear, self.way = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(16, CLASSES), way

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.conv(x))
        if self.way == "view":
            return self.linear(h.view(x.shape[0], -1))
        if self.way == "vector":
            return self.linear(h.reshape(-1))
        if self.way == "first":
            return self.linear(h[0].flatten()).unsqueeze(0)
        return self.linear(h.squeeze(0).flatten(0))


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("way", ["view", "vector", "first", "squeeze"])
def test_exports_of_pytorch_for_one_row(way: str, dynamo: bool) -> None:
    torch.manual_seed(0)
    net, file = Rows(way).eval(), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.randn(1, 3, 4, 4),), file, dynamo=dynamo, opset_version=18, verbose=False)
    found = logits(onnx.load_model_from_string(file.getvalue()))
    x = torch.from_numpy(verify.random_input((5, 3, 4, 4), seed=7))
    wanted = torch.cat([net(row[None]).reshape(1, -1) for row in x])
    np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-4, atol=1e-5)


def mean_of_the_batch(batch: Batch) -> onnx.ModelProto:
    net = net_of(batch, 6)
    net.op("Gemm", net.weight("w", 6, CLASSES))
    net.op("ReduceMean", axes=[0], keepdims=1)
    return net.model()


def rows_beside_each_other(batch: Batch) -> onnx.ModelProto:
    net = net_of(batch, 6)
    net.op("Reshape", net.ints("pairs", -1, 12))
    return dense(net, 12)


def other_constants(batch: Batch) -> onnx.ModelProto:
    net = net_of(batch, 6)
    net.op("Gemm", net.weight("w", 6, 8))
    net.op("Add", net.weight("rows", 4, 8))
    return dense(net, 8)


SYMBOLIC = r"; export it with a symbolic batch size .*, and let it compute every row of the input by itself .*"
BY_ITSELF = r"; let it compute every row of the input by itself .* and export it again"


@pytest.mark.parametrize(("batch", "mend"), [(4, SYMBOLIC), ("batch", BY_ITSELF)])
@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (mean_of_the_batch, r"no output holds class scores .* since ReduceMean \(ReduceMean_1\) keeps no batch"),
        (other_constants, r"Add \(?Add_1\)?.* cannot take a batch of|node Add_1 \(Add\) cannot take a batch of"),
    ],
)
def test_what_mixes_rows_is_refused_with_a_mend(
    make: Callable[[Batch], onnx.ModelProto], problem: str, batch: Batch, mend: str
) -> None:
    with pytest.raises(ModelError, match=f"({problem}).*{mend}"):
        imported(make(batch))


def test_rows_that_are_joined_are_refused() -> None:
    with pytest.raises(ModelError, match=f"with several samples in a row{SYMBOLIC}"):
        imported(rows_beside_each_other(4))


def test_the_mend_works() -> None:
    proto = flatten_by_number(4)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    proto.graph.initializer.remove(next(tensor for tensor in proto.graph.initializer if tensor.name == "flat"))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray([-1, 256]), "flat"))
    assert imported(proto).graph.outputs[0].shape == ir.Shape(["N", CLASSES])
