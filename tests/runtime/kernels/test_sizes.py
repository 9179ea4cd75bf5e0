"""Sizes at their ends: nothing at all, and more than 32 bits hold. Refused or right, never a crash."""

import ctypes
from typing import Any

import numpy as np
import pytest

from tests.runtime.kernels.sparse import Array, one_op, run, session

OPS = ("SparseConv", "SparseConvInputGrad", "SparseConvWeightGrad")


def ones(*shape: int) -> Array:
    return np.ones(shape, dtype=np.float32)


def integers(*numbers: int) -> Array:
    return np.array(numbers, dtype=np.int32)


def convolve(op: str, x: tuple[int, ...], dy: tuple[int, ...], rows: Array, **attributes: Any) -> Array:
    """Run one of the ops with a weight whose first places are kept; `dy` is also the shape of y."""
    channels, taps = x[0], int(np.prod(attributes["kernel_shape"]))
    # The live places of every output channel are its first ones.
    index = np.concatenate([o * channels * taps + np.arange(rows[o + 1] - rows[o]) for o in range(len(rows) - 1)])
    named = {"x": ones(*x), "dy": ones(*dy), "values": ones(len(index)), "index": index.astype(np.int32), "rows": rows}
    used = {
        "SparseConv": ("x", "values", "index", "rows"),
        "SparseConvInputGrad": ("dy", "values", "index", "rows"),
        "SparseConvWeightGrad": ("x", "dy", "index", "rows"),
    }
    more = {"input_shape": x[1:3]} if op == "SparseConvInputGrad" else {}
    feeds = {name: named[name] for name in used[op]}
    return run(op, feeds, ["out"], **{"channels": channels, **more, **attributes})[0]


@pytest.mark.parametrize("rows", [integers(0, 2, 3), integers(0, 0, 0)])
def test_a_batch_of_nothing(rows: Array) -> None:
    attributes = {"kernel_shape": [3, 3], "x": (2, 5, 4, 0), "dy": (2, 3, 2, 0), "rows": rows}
    y, dx, dvalues = (convolve(op, **attributes) for op in OPS)
    assert (y.shape, dx.shape) == ((2, 3, 2, 0), (2, 5, 4, 0))
    assert np.array_equal(dvalues, np.zeros(rows[-1]))


def test_a_weight_of_nothing() -> None:
    attributes = {"kernel_shape": [3, 3], "x": (2, 5, 4, 7), "dy": (2, 3, 2, 7), "rows": integers(0, 0, 0)}
    y, dx, dvalues = (convolve(op, **attributes) for op in OPS)
    assert (y.shape, dx.shape, dvalues.shape) == ((2, 3, 2, 7), (2, 5, 4, 7), (0,))
    assert not y.any()
    assert not dx.any()


@pytest.mark.parametrize("op", OPS)
def test_an_image_without_rows_is_refused(op: str) -> None:
    with pytest.raises(
        Exception, match=f"{op}: (the kernel is larger|attribute input_shape is missing or not positive)"
    ):
        convolve(op, (2, 0, 4, 3), (1, 2, 2, 3), integers(0, 1), kernel_shape=[3, 3], pads=[2, 0, 2, 0])


@pytest.mark.parametrize("op", OPS)
def test_no_output_channels_are_refused(op: str) -> None:
    with pytest.raises(Exception, match=f"{op}: rows has 1 numbers, not one more than there are output channels"):
        run(op, _without_outputs(op), ["out"], kernel_shape=[1, 1], channels=1, input_shape=[1, 1])


def _without_outputs(op: str) -> dict[str, Array]:
    first = {"dy": ones(0, 1, 1, 1)} if op == "SparseConvInputGrad" else {"x": ones(1, 1, 1, 1)}
    second = {"dy": ones(0, 1, 1, 1)} if op == "SparseConvWeightGrad" else {"values": ones(0)}
    return {**first, **second, "index": integers(), "rows": integers(0)}


@pytest.mark.parametrize("op", OPS)
def test_a_kernel_that_is_larger_by_less_than_a_stride_is_refused(op: str) -> None:
    # -1 / 2 is 0 in C++, and -1 in the definition of Conv.
    with pytest.raises(Exception, match=f"{op}: the kernel is larger than the padded"):
        convolve(op, (2, 2, 5, 3), (1, 1, 2, 3), integers(0, 1), kernel_shape=[3, 3], strides=[2, 2])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"channels": 2**31}, "attribute channels is 2147483648, not a number of input channels"),
        # Times the four places of the kernel it is 0 in 64 bits.
        ({"channels": 2**62}, "attribute channels is 4611686018427387904, not a number of input channels"),
        ({"channels": 2**29}, "attribute channels is 536870912, not a number of input channels"),
        ({"input_shape": [1, 2**63 - 1]}, "attribute input_shape has 9223372036854775807, which is too large"),
    ],
)
def test_attributes_beyond_32_bits_are_refused(changed: dict[str, Any], message: str) -> None:
    attributes = {"kernel_shape": [2, 2], "channels": 3, "input_shape": [4, 4], **changed}
    model = one_op("SparseConvInputGrad", ["dy", "values", "index", "rows"], ["dx"], **attributes)
    with pytest.raises(Exception, match=f"SparseConvInputGrad: {message}"):
        session(model)


@pytest.mark.parametrize("op", OPS)
def test_a_weight_beyond_32_bits_is_refused(op: str) -> None:
    rows = np.zeros(2**13 + 1, dtype=np.int32)
    with pytest.raises(Exception, match=rf"{op}: a weight of 8192 \* 262144 places is too large for an int32 index"):
        convolve(op, (2**16, 2, 2, 1), (2**13, 1, 1, 1), rows, kernel_shape=[2, 2])


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("batch", [1, 17])
def test_a_kernel_whose_offsets_need_more_than_32_bits_is_refused(op: str, batch: int) -> None:
    far = {"kernel_shape": [64, 64], "dilations": [1024, 1024], "pads": [63 * 512] * 4}
    with pytest.raises(Exception, match=f"{op}: the kernel, the batch or the channels are too large for offsets of 32"):
        convolve(op, (1, 1, 1, batch), (1, 1, 1, batch), integers(0, 2), **far)


def test_more_lists_of_places_than_32_bits_count_are_refused(loaded: ctypes.CDLL) -> None:
    # 256 phases of the stride, 8192 input channels, and 1639 chunks of output channels: with a cache of 32 KiB five of
    # them fill a chunk's window of 65 times 65 pixels.
    loaded.SparclUseCaches(ctypes.c_int64(32 * 1024), ctypes.c_int64(1024 * 1024))
    many, far = 2**13, {"kernel_shape": [2, 2], "dilations": [1024, 1024], "pads": [512] * 4, "strides": [16, 16]}
    rows = np.zeros(many + 1, dtype=np.int32)
    with pytest.raises(Exception, match="SparseConvInputGrad: the kernel, the batch or the channels are too large"):
        convolve("SparseConvInputGrad", (many, 1, 1, 1), (many, 1, 1, 1), rows, **far)
