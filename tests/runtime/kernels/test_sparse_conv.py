"""SparseConv against ONNX Runtime's dense Conv."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings

from tests.runtime.kernels.cases import cases
from tests.runtime.kernels.sparse import (
    LARGE,
    Array,
    Case,
    assert_close,
    normal,
    one_op,
    random_weight,
    run,
    session,
    to_chwn,
    to_nchw,
)


def feeds(case: Case, bias: bool = True) -> dict[str, Array]:
    weight = random_weight(case)
    x = normal((case.channels, case.height, case.width, case.batch), case.seed)
    found = {"x": x, "values": weight.values, "index": weight.index, "rows": weight.rows}
    return found | ({"bias": normal((case.outputs,), case.seed + 1)} if bias else {})


def sparse(case: Case, given_feeds: dict[str, Array], threads: int = 2) -> Array:
    return run("SparseConv", given_feeds, ["y"], threads, channels=case.channels, **case.attributes)[0]


def dense(case: Case, given_feeds: dict[str, Array]) -> Array:
    model = one_op(
        "Conv", ["x", "w", *(["bias"] if "bias" in given_feeds else [])], ["y"], domain="", **case.attributes
    )
    found = {k: v for k, v in given_feeds.items() if k == "bias"}
    return to_chwn(
        session(model).run(None, {"x": to_nchw(given_feeds["x"]), "w": random_weight(case).dense, **found})[0]
    )


@settings(max_examples=120, deadline=None)
@given(case=cases())
def test_equals_the_dense_convolution(case: Case) -> None:
    given_feeds = feeds(case, bias=case.seed % 2 == 0)
    assert_close(sparse(case, given_feeds), dense(case, given_feeds))


@pytest.mark.parametrize(
    "case", [Case(32, 40, 70, 16, 16), Case(32, 96, 200, 4, 4), Case(16, 24, 24, 33, 35, strides=(2, 2)), LARGE]
)
def test_several_blocks_and_chunks(case: Case) -> None:
    assert_close(sparse(case, feeds(case)), dense(case, feeds(case)))


def test_a_large_output_need_not_begin_with_a_line_of_the_cache() -> None:
    found = feeds(LARGE, bias=False)
    made = session(one_op("SparseConv", list(found), ["y"], channels=LARGE.channels, **LARGE.attributes))
    floats = 40 * 30 * 30 * 32
    memory = np.zeros(floats + 32, np.float32)
    begin = (4 - memory.ctypes.data) % 64 // 4
    y = memory[begin : begin + floats].reshape(40, 30, 30, 32)
    binding = made.io_binding()
    for name, value in found.items():
        binding.bind_cpu_input(name, value)
    binding.bind_ortvalue_output("y", onnxruntime.OrtValue.ortvalue_from_numpy(y))
    assert y.ctypes.data % 64 == 4
    made.run_with_iobinding(binding)
    assert np.array_equal(y, sparse(LARGE, found))


@pytest.mark.parametrize("batch", [1, 7, 32, 300])
def test_a_matrix_product_is_the_case_of_one_pixel(batch: int) -> None:
    case = Case(batch, 50, 30, 1, 1, kernel=(1, 1), pads=(0, 0, 0, 0))
    found = feeds(case)
    expected = random_weight(case).dense[:, :, 0, 0] @ found["x"][:, 0, 0, :] + found["bias"][:, None]
    assert_close(sparse(case, found)[:, 0, 0, :], expected)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("case", [Case(32, 48, 64, 16, 16), LARGE])
def test_the_number_of_threads_changes_no_bit(case: Case, threads: int) -> None:
    assert np.array_equal(sparse(case, feeds(case), 2), sparse(case, feeds(case), threads))


def test_an_empty_batch() -> None:
    case = Case(0, 3, 4, 5, 5)
    assert sparse(case, feeds(case)).shape == (4, 5, 5, 0)


CASE = Case(16, 4, 6, 5, 5)
WRONG: list[tuple[str, Any, str]] = [
    ("x", lambda a: a[:3], r"SparseConv: x has 3 channels, the attribute channels says 4"),
    ("x", lambda a: a[..., 0], r"SparseConv: x has 3 axes, not 4"),
    ("bias", lambda a: a[:5], r"SparseConv: bias has 5 numbers for 6 output channels"),
    ("values", lambda a: a[:5], r"SparseConv: values has 5 places and index"),
    ("rows", lambda a: a[:1], r"SparseConv: rows has 1 numbers"),
    ("rows", lambda a: a + 1, r"SparseConv: rows\[0\] is 1, not 0"),
    (
        "rows",
        lambda a: np.concatenate([a[:2], a[1:2] - 1, a[3:]]),
        r"SparseConv: rows\[2\] is \d+, less than rows\[1\]",
    ),
    ("rows", lambda a: np.concatenate([a[:-1], a[-1:] + 99]), r"SparseConv: rows ends with \d+ places, but only"),
    ("index", lambda a: a[::-1].copy(), r"SparseConv: index\[0\] is -7: output channel 0 needs ascending positions"),
    ("index", lambda a: np.where(np.arange(len(a)) == 4, a[3], a), r"SparseConv: index\[4\] is \d+: output channel"),
    ("index", lambda a: a + 6 * 4 * 9, r"SparseConv: index\[0\] is \d+: output channel 0 needs .* in \[0, 36\)"),
    ("index", lambda a: np.full_like(a, np.iinfo(np.int32).max), r"SparseConv: index\[0\] is 2147483647"),
    ("index", lambda a: np.full_like(a, np.iinfo(np.int32).min), r"SparseConv: index\[0\] is -2147483648"),
]


@pytest.mark.parametrize(("name", "change", "message"), WRONG)
def test_wrong_input_is_refused_by_name(name: str, change: Any, message: str) -> None:
    found = feeds(CASE)
    with pytest.raises(Exception, match=message) as refusal:
        sparse(CASE, {**found, name: change(found[name])})
    assert "the_node" in str(refusal.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kernel_shape": [3]}, "SparseConv: attribute kernel_shape has 1 numbers, not 2"),
        ({"kernel_shape": [0, 3]}, "SparseConv: kernel_shape: the height is 0"),
        ({"kernel_shape": [3, 999]}, "SparseConv: kernel_shape: the width is 999"),
        ({"strides": [1, 0]}, "SparseConv: strides: that of the width is 0"),
        ({"dilations": [-1, 1]}, "SparseConv: dilations: that of the height is -1"),
        ({"pads": [-1, 0, 0, 0]}, "SparseConv: pads: those of the height are -1 and 0"),
        ({"group": 2}, "SparseConv: attribute group is 2"),
        ({"channels": 0}, "SparseConv: attribute channels is 0"),
    ],
)
def test_wrong_attributes_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        session(one_op("SparseConv", list(feeds(CASE)), ["y"], **{**CASE.attributes, "channels": 4, **changed}))


def test_a_kernel_larger_than_the_input_is_refused() -> None:
    case = Case(16, 4, 6, 2, 2, pads=(0, 0, 0, 0))
    with pytest.raises(Exception, match=r"SparseConv: the kernel is larger than the padded x \[4, 2, 2, 16\]"):
        sparse(case, feeds(case))
