"""A pool that is rounded up to a window behind its input: PyTorch and ONNX Runtime leave it out, ONNX counts it."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch.nn import functional as F

from sparcl_compile.interface.errors import ModelError
from tests.passes.importing.test_differentiable import w
from tests.support.gradient_check import by_rules, imported, worst_gradient

TOLERANCE = 1e-3


def model_of(pool: str, length: int) -> onnx.ModelProto:
    """A convolution, the pool, another convolution and a classifier behind a mean."""
    sides = f"{length}, {length}"
    text = f"""<ir_version: 8, opset_import: ["" : 18]> case (float[N, 2, {sides}] x) => (float[N, 5] logits) {{
        h = Conv(x, first)
        y = {pool}(h)
        z = Conv(y, second)
        mean = GlobalAveragePool(z)
        flat = Flatten(mean)
        logits = MatMul(flat, last)
    }}"""
    model = onnx.parser.parse_model(text)
    arrays = {"first": w(2, 2, 1, 1), "second": w(3, 2, 1, 1), "last": w(3, 5)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in arrays.items())
    return model


def pool_of(model: ir.Model) -> ir.Node | None:
    return next((node for node in model.graph if node.op_type.endswith("Pool") and "Global" not in node.op_type), None)


@pytest.mark.parametrize(
    ("attributes", "length"),
    [
        ("kernel_shape = [2, 2], strides = [3, 3], ceil_mode = 1", 6),
        ("kernel_shape = [2, 2], strides = [2, 2], pads = [1, 1, 1, 1], ceil_mode = 1", 7),
        ("kernel_shape = [3, 2], strides = [2, 3], pads = [1, 1, 1, 0], ceil_mode = 1", 8),
        ("kernel_shape = [2, 1], strides = [2, 4], pads = [1, 0, 1, 0], ceil_mode = 1", 8),
    ],
)
@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool"])
def test_the_window_is_left_out(op_type: str, attributes: str, length: int) -> None:
    model = imported(model_of(f"{op_type}<{attributes}>", length), target="ort")
    pool = pool_of(model)
    assert pool is not None
    assert "ceil_mode" not in pool.attributes
    worst, parameter = worst_gradient(model, by=by_rules)
    assert worst < TOLERANCE, parameter


def test_it_pools_as_pytorch_does() -> None:
    model = imported(model_of("MaxPool<kernel_shape = [2, 2], strides = [3, 3], ceil_mode = 1>", 6), target="ort")
    pool = pool_of(model)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 2, 6, 6)).astype(np.float32))
    assert pool is not None
    assert list(pool.outputs[0].shape or ())[2:] == list(F.max_pool2d(x, 2, 3, ceil_mode=True).shape[2:]) == [2, 2]


def test_a_pool_whose_windows_all_begin_inside_stays() -> None:
    pool = pool_of(imported(model_of("MaxPool<kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1>", 6)))
    assert pool is not None
    assert "ceil_mode" in pool.attributes


@pytest.mark.parametrize(
    "pool",
    [
        "AveragePool<kernel_shape = [2, 2], strides = [2, 2], pads = [1, 1, 1, 1], ceil_mode = 1, count_include_pad=1>",
        "MaxPool<kernel_shape = [2, 2], strides = [3, 4], dilations = [2, 2], pads = [0, 0, 1, 1], ceil_mode = 1>",
    ],
)
def test_what_other_padding_cannot_say_is_refused(pool: str) -> None:
    expected = (
        r"Pool \(.*\) rounds up to a window that begins behind its input: pad in a layer of its own, or round down"
    )
    with pytest.raises(ModelError, match=expected):
        imported(model_of(pool, 7), target="ort")
