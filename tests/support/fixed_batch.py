"""Classifiers as exporters write them for a batch of 1 or another fixed number; the last ones mix their rows."""

import numpy as np
import onnx
from onnx import helper

from tests.support.zoo import CLASSES, Net

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


def normalised_tokens(axes: tuple[int, ...] = (0,)) -> onnx.ModelProto:
    """A BatchNormalization whose samples are the tokens of one row."""
    net = net_of(1, 4, 6)
    net.op("Squeeze", *([net.ints("front", *axes)] if axes else []))
    net.bn("bn", 6)
    net.op("Flatten", axis=0)
    return dense(net, 24)


def squeezed_altogether() -> onnx.ModelProto:
    return normalised_tokens(())


def repeated_and_padded() -> onnx.ModelProto:
    net = net_of(1, 6)
    net.op("Squeeze", net.ints("front", 0))
    net.op("Pad", net.ints("pads", 1, 1))
    net.op("Tile", net.ints("twice", 2))
    net.op("Expand", net.ints("rows", 3, 16))
    row = net.op("Mul", net.weight("scale", 3, 16))
    net.op("Gather", net.array("last", 2, np.int64), axis=0)
    net.op("Add", row)
    net.op("Reshape", net.ints("flat", 1, 48))
    return dense(net, 48)


def lengths_of_one_row() -> onnx.ModelProto:
    net = net_of(1, 4, 6)
    row = net.op("Squeeze", net.ints("front", 0))
    net.op("Shape")
    product = net.op("ReduceProd", keepdims=1)
    target = net.op("Concat", product, source=net.ints("one", 1), axis=0)
    net.op("Reshape", target, source=row)
    return dense(net, 24)


BATCH_OF_ONE = (
    normalised_tokens, squeezed_altogether, repeated_and_padded, lengths_of_one_row,
    flatten_from_the_front, by_way_of_a_vector, a_vector_as_plane, squeezed_and_back, scores_as_vector, first_row,
    axes_count_from_the_front, a_matrix_of_one_row,
)  # fmt: skip


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
