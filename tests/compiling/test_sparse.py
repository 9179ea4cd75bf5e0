"""Weights that a file stores sparse are those of the dense file; what contradicts itself is refused by name."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sparcl_compile.compiling.load import load_model
from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.importing.import_forward import ImportForward
from tests.support.cli import done
from tests.support.zoo import CLASSES, Net

WEIGHT = np.where(np.arange(6 * CLASSES).reshape(6, CLASSES) % 3 == 0, np.float32(1.5), np.float32(0))


def sparse(flat: bool) -> onnx.SparseTensorProto:
    places = np.flatnonzero(WEIGHT) if flat else np.argwhere(WEIGHT)
    values = numpy_helper.from_array(WEIGHT[WEIGHT != 0], "w")
    return helper.make_sparse_tensor(values, numpy_helper.from_array(places.astype(np.int64), "w.places"), WEIGHT.shape)


def written(path: Path, tensor: onnx.SparseTensorProto, *, node: bool = False) -> Path:
    net = Net(["batch", 6])
    net.op("Gemm", "w")
    proto = net.model()
    if node:
        proto.graph.node.insert(0, helper.make_node("Constant", [], ["w"], sparse_value=tensor))
    else:
        proto.graph.sparse_initializer.append(tensor)
    onnx.save(proto, path / "sparse.onnx")
    return path / "sparse.onnx"


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("node", [True, False])
def test_a_sparse_weight_becomes_dense(tmp_path: Path, flat: bool, node: bool) -> None:
    model = load_model(written(tmp_path, sparse(flat), node=node))
    assert ImportForward()(model).modified
    tensor = model.graph.initializers["w"].const_value
    assert tensor is not None
    np.testing.assert_array_equal(tensor.numpy(), WEIGHT)


def test_the_inspector_counts_a_sparse_weight(tmp_path: Path) -> None:
    assert f"parameters     {WEIGHT.size}" in done("inspect", written(tmp_path, sparse(True))).out


def test_sparse_tensors_that_contradict_themselves_are_refused_by_name(tmp_path: Path) -> None:
    outside, huge, negative, fewer = (sparse(flat) for flat in (True, True, True, False))
    huge.dims[:] = [1 << 40, 1 << 40]
    outside.dims[:] = [2, 2]
    negative.indices.CopyFrom(numpy_helper.from_array(-np.flatnonzero(WEIGHT), "w.places"))
    fewer.indices.CopyFrom(numpy_helper.from_array(np.zeros((2, 2), np.int64), "w.places"))
    for tensor in (outside, huge, negative, fewer):
        with pytest.raises(ModelError, match=r"sparse\.onnx: the sparse tensor w contradicts itself .*; export the"):
            load_model(written(tmp_path, tensor))
    unknown = sparse(True)
    unknown.values.data_type = TensorProto.UNDEFINED
    with pytest.raises(ModelError, match=r"sparse\.onnx"):
        load_model(written(tmp_path, unknown))
