"""The kernels for blocks of four output channels that keep the same places, against those for single weights.

Those are compared with dense convolutions in test_sparse_conv.py and test_sparse_conv_gradients.py, with which one case
of each kind is compared here too.
"""

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.kernels.cases import cases
from tests.runtime.kernels.sparse import (
    BLOCK,
    LARGE,
    Array,
    Case,
    Weight,
    assert_close,
    blocked_weight,
    normal,
    one_op,
    run,
    session,
)
from tests.runtime.kernels.test_sparse_conv_gradients import convolve, expected

OPS = ("SparseConv", "SparseConvInputGrad", "SparseConvWeightGrad")


def feeds(case: Case, weight: Weight) -> Mapping[str, Array]:
    x = normal((case.channels, case.height, case.width, case.batch), case.seed)
    dy = normal((case.outputs, *case.out(), case.batch), case.seed + 2)
    parts = {"values": weight.values, "index": weight.index, "rows": weight.rows}
    bias = normal((case.outputs,), case.seed + 1)
    return {"x": x, "dy": dy, **parts, "bias": bias, "addend": normal(x.shape, case.seed + 3)}


INPUTS = {
    "SparseConv": ("x", "values", "index", "rows", "bias"),
    "SparseConvInputGrad": ("dy", "values", "index", "rows", "addend"),
    "SparseConvWeightGrad": ("x", "dy", "index", "rows"),
}


def compute(op: str, case: Case, found: Mapping[str, Array], threads: int = 2, **changed: Any) -> Array:
    attributes = {"channels": case.channels, **case.attributes, **changed}
    if op == "SparseConvInputGrad":
        attributes["input_shape"] = [case.height, case.width]
    return run(op, {name: found[name] for name in INPUTS[op] if name in found}, ["out"], threads, **attributes)[0]


def check_equal(case: Case) -> None:
    found = feeds(case, blocked_weight(case))
    for op in OPS:
        assert_close(compute(op, case, found, block=BLOCK), compute(op, case, found))


@settings(max_examples=120, deadline=None)
@given(case=cases())
def test_blocks_equal_single_weights(case: Case) -> None:
    check_equal(case)


@st.composite
def heavy_cases(draw: st.DrawFn) -> Case:
    """So many places that the input gradient scatters, which it does from 50 for each input and output channel on."""
    size, pad = st.integers(4, 14), st.integers(0, 3)
    return Case(
        batch=draw(st.sampled_from([4, 8, 16, 24, 32, 48])),
        channels=draw(st.integers(23, 40)),
        outputs=draw(st.integers(23, 40)),
        height=draw(size),
        width=draw(size),
        kernel=(draw(st.integers(3, 4)), draw(st.integers(3, 4))),
        strides=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        pads=(draw(pad), draw(pad), draw(pad), draw(pad)),
        density=draw(st.sampled_from([0.6, 0.95])),
        seed=draw(st.integers(0, 1000)),
    )


@settings(max_examples=60, deadline=None)
@given(case=heavy_cases())
def test_heavy_blocks_equal_single_weights(case: Case) -> None:
    check_equal(case)


MANY_BLOCKS = [
    Case(32, 40, 70, 16, 16, density=0.9),
    Case(32, 96, 200, 4, 4),
    Case(48, 60, 62, 33, 35, strides=(2, 2), density=0.7),
    Case(16, 64, 63, 40, 9, kernel=(5, 3), pads=(2, 1, 2, 1), density=0.6),
    Case(LARGE.batch, LARGE.channels, LARGE.outputs, LARGE.height, LARGE.width, density=0.7),
]


@pytest.mark.parametrize("case", MANY_BLOCKS)
def test_several_bands_chunks_and_slabs(case: Case) -> None:
    check_equal(case)


@pytest.mark.parametrize("case", [MANY_BLOCKS[0], MANY_BLOCKS[2]])
def test_equal_autograd(case: Case) -> None:
    weight = blocked_weight(case)
    found = feeds(case, weight)
    dx, dvalues = expected(case, weight, found["x"], found["dy"])
    assert_close(compute("SparseConvInputGrad", case, found, block=BLOCK) - found["addend"], dx)
    assert_close(compute("SparseConvWeightGrad", case, found, block=BLOCK), dvalues)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("case", [MANY_BLOCKS[0], MANY_BLOCKS[2], MANY_BLOCKS[4]])
def test_the_number_of_threads_changes_no_bit(op: str, case: Case) -> None:
    found = feeds(case, blocked_weight(case))
    results = [compute(op, case, found, threads, block=BLOCK) for threads in (1, 2, 3)]
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@pytest.mark.parametrize("name", [b"AVX2", b"SCALAR", b"EMU128", b"SSE2"])
@pytest.mark.parametrize("case", [MANY_BLOCKS[0], MANY_BLOCKS[2], Case(24, 33, 35, 9, 7, density=0.9)])
def test_every_instruction_set_agrees(loaded: ctypes.CDLL, name: bytes, case: Case) -> None:
    found = feeds(case, blocked_weight(case))
    best = [compute(op, case, found, block=BLOCK) for op in OPS]
    if not loaded.SparclUseTarget(name):
        pytest.skip(f"{name.decode()} is not in this build")
    for op, first in zip(OPS, best, strict=True):
        assert_close(compute(op, case, found, block=BLOCK), first)


def test_a_gradient_mask_chooses_single_weights_of_blocks() -> None:
    case = Case(16, 8, 10, 6, 7)
    weight = blocked_weight(case)
    found = feeds(case, weight)
    mask = (np.random.default_rng(0).random(len(weight.values)) < 0.3).astype(np.float32)
    inputs = {name: found[name] for name in INPUTS["SparseConvWeightGrad"]} | {"mask": mask}
    attributes = {"channels": case.channels, **case.attributes}
    masked = run("SparseConvWeightGrad", inputs, ["out"], block=BLOCK, **attributes)[0]
    assert_close(masked, compute("SparseConvWeightGrad", case, found, block=BLOCK) * mask)


CASE = Case(16, 4, 7, 5, 5, density=0.5)
HEAVY = Case(16, 40, 40, 5, 5, density=0.9)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("block", [0, 2, 8, -4])
def test_blocks_of_another_size_are_refused(op: str, block: int) -> None:
    attributes = {"channels": 4, "input_shape": [5, 5], **CASE.attributes}
    with pytest.raises(Exception, match=f"{op}: attribute block is {block}, not 1 or 4"):
        session(one_op(op, list(INPUTS[op]), ["out"], block=block, **attributes))


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("case", [CASE, HEAVY])
@pytest.mark.parametrize("other", [1, 3, 6])
def test_a_channel_that_keeps_other_places_is_refused(op: str, case: Case, other: int) -> None:
    weight = blocked_weight(case)
    first, last = int(weight.rows[other]), int(weight.rows[other + 1])
    row = other * case.channels * 9
    free = np.setdiff1d(np.arange(row, row + case.channels * 9), weight.index[first:last])[0]
    index = weight.index.copy()
    index[first:last] = np.sort(np.concatenate([index[first + 1 : last], [free]]))
    found = feeds(case, Weight(weight.dense, weight.values, index, weight.rows))
    refusal = f"{op}: output channel {other} keeps other places than channel {other - other % BLOCK}, with which"
    if op == "SparseConvInputGrad" and case is CASE:
        # Few places are not scattered: they are read as single weights, which these are.
        assert compute(op, case, found, block=BLOCK).shape == found["x"].shape
        return
    with pytest.raises(Exception, match=refusal):
        compute(op, case, found, block=BLOCK)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("more", [1, -1])
def test_a_channel_that_keeps_another_number_is_refused(op: str, more: int) -> None:
    weight = blocked_weight(HEAVY)
    rows = weight.rows.copy()
    rows[2] += more
    found = feeds(HEAVY, Weight(weight.dense, weight.values, weight.index, rows))
    with pytest.raises(Exception, match=f"{op}: (output channel [12] keeps other places|index.* needs ascending)"):
        compute(op, HEAVY, found, block=BLOCK)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a[::-1].copy(), r"index\[0\] is -7: output channel 0 needs ascending positions"),
        (lambda a: a + 40 * 40 * 9, r"index\[0\] is \d+: output channel 0 needs .* in \[0, 360\)"),
        (lambda a: np.full_like(a, np.iinfo(np.int32).min), r"index\[0\] is -2147483648"),
    ],
)
def test_a_wrong_index_is_refused(op: str, change: Any, message: str) -> None:
    weight = blocked_weight(HEAVY)
    found = feeds(HEAVY, Weight(weight.dense, weight.values, change(weight.index), weight.rows))
    with pytest.raises(Exception, match=f"{op}: {message}"):
        compute(op, HEAVY, found, block=BLOCK)


@pytest.mark.parametrize("op", OPS)
def test_a_weight_of_nothing_and_a_batch_of_nothing(op: str) -> None:
    empty = Case(16, 4, 7, 5, 5, density=0.0)
    found = {
        name: value for name, value in feeds(empty, blocked_weight(empty)).items() if name not in ("bias", "addend")
    }
    assert not compute(op, empty, found, block=BLOCK).any()
    none = Case(0, 30, 30, 5, 5, density=1.0)
    found = feeds(none, blocked_weight(none))
    shape = compute(op, none, found).shape
    assert compute(op, none, found, block=BLOCK).shape == shape


@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
def test_a_kernel_that_reaches_further_than_the_scratch_is_read_as_single_weights(size: tuple[int, int]) -> None:
    case = Case(
        16, 30, 30, *size, kernel=(5, 5), pads=(4096,) * 4, dilations=(1024, 1024), strides=(16, 16), density=1.0
    )
    found = feeds(case, blocked_weight(case))
    op = "SparseConvInputGrad"
    assert_close(compute(op, case, found, block=BLOCK), compute(op, case, found))


def test_the_dense_convolution_is_the_second_opinion() -> None:
    import torch

    case = MANY_BLOCKS[2]
    weight = blocked_weight(case)
    found = feeds(case, weight)
    x = torch.tensor(found["x"]).permute(3, 0, 1, 2)
    y = convolve(case, x, torch.tensor(weight.dense)) + torch.tensor(found["bias"])[:, None, None]
    assert_close(compute("SparseConv", case, found, block=BLOCK), y.permute(1, 2, 3, 0).numpy())
