"""Weights of 3x3 kernels that are kept whole or by patterns of four taps: the index shows it, and taps share loads.

An output channel of one tap alone makes the same weight one of single weights: both forms are compared to the bit.
"""

import ctypes
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparcl_compile.passes.schemes.cuts import PATTERNS
from tests.runtime.kernels.sparse import (
    BLOCK,
    LARGE,
    Array,
    Case,
    Weight,
    assert_close,
    compress,
    patterned_kernels,
    whole_kernels,
)
from tests.runtime.kernels.test_blocks import OPS, compute, feeds
from tests.runtime.kernels.test_sparse_conv_gradients import expected


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Kernels of 3 by 3; most are of stride 1 and whole vectors, which the shared form is for."""
    size, pad = st.integers(3, 14), st.integers(0, 3)
    return Case(
        batch=draw(st.sampled_from([4, 8, 16, 16, 32, 32, 48, 5, 17])),
        channels=draw(st.integers(1, 20)),
        outputs=draw(st.integers(1, 20)),
        height=draw(size),
        width=draw(size),
        strides=draw(st.sampled_from([(1, 1), (1, 1), (1, 1), (2, 1), (2, 2)])),
        pads=(draw(pad), draw(pad), draw(pad), draw(pad)),
        density=draw(st.sampled_from([0.0, 0.05, 0.3, 1.0])),
        seed=draw(st.integers(0, 1000)),
    )


KINDS = {"whole": whole_kernels, "pattern": patterned_kernels}

LARGE_CASES = [
    Case(32, 40, 70, 16, 16),
    Case(32, 96, 200, 4, 4),
    Case(48, 60, 62, 33, 35),
    Case(64, 40, 41, 13, 7, pads=(2, 0, 1, 2)),
    LARGE,
]


def with_a_single_tap(case: Case, weight: Weight) -> tuple[Case, Weight]:
    """One more output channel, which keeps one tap."""
    dense = np.concatenate([weight.dense, np.zeros_like(weight.dense[:1])])
    mask = np.zeros(dense.shape, dtype=bool)
    mask.ravel()[weight.index[: weight.live]] = True
    mask[-1, 0, 1, 1] = True
    dense[-1, 0, 1, 1] = 1
    return replace(case, outputs=case.outputs + 1), compress(dense, mask)


def channel_more(found: dict[str, Array], weight: Weight) -> dict[str, Array]:
    """The inputs of an op for the weight of one more channel, whose gradient is 0."""
    dy = np.concatenate([found["dy"], np.zeros_like(found["dy"][:1])])
    bias = np.append(found["bias"], np.float32(0))
    return {**found, "dy": dy, "bias": bias, "values": weight.values, "index": weight.index, "rows": weight.rows}


def check_bits(case: Case, kind: str) -> None:
    weight = KINDS[kind](case)
    found = dict(feeds(case, weight))
    wider, single = with_a_single_tap(case, weight)
    more = channel_more(found, single)
    out = compute("SparseConv", case, found)
    assert np.array_equal(out, compute("SparseConv", wider, more)[: case.outputs])
    assert np.array_equal(compute("SparseConvInputGrad", case, found), compute("SparseConvInputGrad", wider, more))
    live = weight.live
    one, other = compute("SparseConvWeightGrad", case, found), compute("SparseConvWeightGrad", wider, more)
    assert_close(one[:live], other[:live])
    assert not one[live:].any()


@settings(max_examples=120, deadline=None)
@given(case=cases(), kind=st.sampled_from(sorted(KINDS)))
def test_no_bit_differs_from_single_weights(case: Case, kind: str) -> None:
    check_bits(case, kind)


@pytest.mark.parametrize("case", LARGE_CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_several_blocks_and_chunks(case: Case, kind: str) -> None:
    check_bits(case, kind)


@pytest.mark.parametrize("case", [LARGE_CASES[0], LARGE_CASES[3]])
@pytest.mark.parametrize("kind", KINDS)
def test_equal_autograd(case: Case, kind: str) -> None:
    weight = KINDS[kind](case)
    found = feeds(case, weight)
    dx, dvalues = expected(case, weight, found["x"], found["dy"])
    assert_close(compute("SparseConvInputGrad", case, found) - found["addend"], dx)
    assert_close(compute("SparseConvWeightGrad", case, found), dvalues)


@pytest.mark.parametrize("case", LARGE_CASES)
def test_the_input_gradient_of_blocks_of_whole_kernels(case: Case) -> None:
    """Dense layers are blocks whose kernels are whole."""
    found = feeds(case, whole_kernels(replace(case, density=1.0)))
    assert_close(compute("SparseConvInputGrad", case, found, block=BLOCK), compute("SparseConvInputGrad", case, found))


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("case", [LARGE_CASES[0], LARGE_CASES[4]])
@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_threads_changes_no_bit(op: str, case: Case, kind: str) -> None:
    found = feeds(case, KINDS[kind](case))
    results = [compute(op, case, found, threads) for threads in (1, 2, 3)]
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_caches_change_no_bit(loaded: ctypes.CDLL, op: str, kind: str) -> None:
    case = LARGE_CASES[1]
    found = feeds(case, KINDS[kind](case))
    first = compute(op, case, found)
    loaded.SparclUseCaches(ctypes.c_int64(8192), ctypes.c_int64(65536))
    assert np.array_equal(first, compute(op, case, found))


@pytest.mark.parametrize("name", [b"AVX2", b"SCALAR", b"EMU128", b"SSE2"])
@pytest.mark.parametrize("case", [LARGE_CASES[0], LARGE_CASES[3], Case(24, 33, 35, 9, 7)])
@pytest.mark.parametrize("kind", KINDS)
def test_every_instruction_set_agrees(loaded: ctypes.CDLL, name: bytes, case: Case, kind: str) -> None:
    found = feeds(case, KINDS[kind](case))
    best = [compute(op, case, found) for op in OPS]
    if not loaded.SparclUseTarget(name):
        pytest.skip(f"{name.decode()} is not in this build")
    for op, first in zip(OPS, best, strict=True):
        assert_close(compute(op, case, found), first)


def moved(weight: Weight, place: int, to: int) -> Weight:
    index = weight.index.copy()
    index[place] = to
    return Weight(weight.dense, weight.values, index, weight.rows)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(
    ("place", "to"), [(4, 0), (4, np.iinfo(np.int32).min), (0, np.iinfo(np.int32).min), (7, np.iinfo(np.int32).max)]
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_index_is_refused(op: str, place: int, to: int, kind: str) -> None:
    case = replace(LARGE_CASES[0], density=1.0)
    found = feeds(case, moved(KINDS[kind](case), place, to))
    with pytest.raises(Exception, match=f"{op}: index.* needs ascending positions"):
        compute(op, case, found)


def test_nine_places_across_two_kernels_are_single_weights() -> None:
    case = Case(16, 3, 2, 6, 6)
    mask = np.zeros((2, 3, 3, 3), dtype=bool)
    mask.reshape(2, 27)[:, 4:13] = True
    weight = compress(np.where(mask, whole_kernels(replace(case, density=1.0)).dense, 0).astype(np.float32), mask)
    found = feeds(case, weight)
    dx, dvalues = expected(case, weight, found["x"], found["dy"])
    assert_close(compute("SparseConvInputGrad", case, found) - found["addend"], dx)
    assert_close(compute("SparseConvWeightGrad", case, found), dvalues)


@pytest.mark.parametrize("kind", KINDS)
def test_kernels_out_of_order_are_refused(kind: str) -> None:
    """Each kernel by itself is in order, but two of them have changed places."""
    case = replace(LARGE_CASES[0], density=1.0)
    weight = KINDS[kind](case)
    size = 9 if kind == "whole" else 4
    index = weight.index.copy()
    index[:size], index[size : 2 * size] = weight.index[size : 2 * size], weight.index[:size]
    found = feeds(case, Weight(weight.dense, weight.values, index, weight.rows))
    for op in OPS:
        with pytest.raises(Exception, match=f"{op}: index.* needs ascending positions"):
            compute(op, case, found)


def test_the_patterns_are_those_of_the_scheme() -> None:
    header = Path(__file__).parents[3] / "runtime/kernels/patterns.h"
    found = [int(bits, 2) for bits in re.findall("0b([01]+)", header.read_text(encoding="utf-8"))]
    assert found == [sum(1 << tap for tap in pattern) for pattern in (*PATTERNS, range(9))]
