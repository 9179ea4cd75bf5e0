"""The tiles follow the machine's caches, and no bit of a result does."""

import ctypes
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from sparcl_compile.runtime.session import kernel_library as kernels
from tests.runtime.kernels.cases import cases
from tests.runtime.kernels.sparse import BLOCK, Case, Weight, blocked_weight, compress, random_weight
from tests.runtime.kernels.test_blocks import MANY_BLOCKS, OPS, compute, feeds

KIB = 1024
CLAIMED = [(8 * KIB, 8 * KIB), (32 * KIB, 256 * KIB), (48 * KIB, 2048 * KIB), (128 * KIB, 12288 * KIB)]
"""First and second level: the least, a phone's, a server's and a laptop's."""
SYSTEM = Path("/sys/devices/system/cpu/cpu0/cache")


@pytest.fixture(autouse=True, scope="module")
def _machine_again() -> Iterator[None]:
    """The machine's own sizes are in use again behind the tests."""
    yield
    if kernels.library() is not None:
        claim(0, 0)


def claim(first: int, second: int) -> None:
    ctypes.CDLL(str(kernels.library())).SparclUseCaches(ctypes.c_int64(first), ctypes.c_int64(second))


def in_use() -> tuple[int, int]:
    first, second = ctypes.c_int64(), ctypes.c_int64()
    ctypes.CDLL(str(kernels.library())).SparclCaches(ctypes.byref(first), ctypes.byref(second))
    return first.value, second.value


def of_the_system(level: int) -> int:
    """The size of a level of data caches as Linux says it; 0 where it does not."""
    for folder in sorted(SYSTEM.glob("index*")):
        kind, at, size = ((folder / name).read_text().strip() for name in ("type", "level", "size"))
        if kind != "Instruction" and int(at) == level:
            return int(size[:-1]) * {"K": KIB, "M": KIB**2}[size[-1]]
    return 0


def test_the_sizes_are_the_system_s() -> None:
    claim(0, 0)
    known = (of_the_system(1), of_the_system(2))
    if not all(known):
        pytest.skip("this system does not say its caches' sizes")
    assert in_use() == known


def test_sizes_may_be_claimed_and_given_back() -> None:
    claim(0, 0)
    own = in_use()
    claim(*CLAIMED[2])
    assert in_use() == CLAIMED[2]
    claim(0, 0)
    assert in_use() == own


def check_equal(case: Case) -> None:
    for block, weight in ((1, random_weight(case)), (BLOCK, blocked_weight(case))):
        found = feeds(case, weight)
        for op in OPS:
            results = []
            for sizes in CLAIMED:
                claim(*sizes)
                results.append(compute(op, case, found, block=block))
            assert all(np.array_equal(results[0], other) for other in results[1:])


@settings(max_examples=25, deadline=None)
@given(case=cases())
def test_caches_change_no_bit(case: Case) -> None:
    check_equal(case)


@pytest.mark.parametrize("case", [*MANY_BLOCKS[:3], Case(32, 96, 64, 16, 16, density=0.1)])
def test_caches_change_no_bit_of_several_chunks_and_tasks(case: Case) -> None:
    check_equal(case)


def with_zeros(weight: Weight) -> Weight:
    """The same weight with as many zeros kept beside its places as make a third of all."""
    generator = np.random.default_rng(1)
    mask = (weight.dense != 0) | (generator.random(weight.dense.shape) < 0.3)
    return compress(weight.dense, mask)


@pytest.mark.parametrize(
    "case",
    [
        Case(32, 96, 64, 16, 16, density=0.05),
        Case(32, 24, 30, 13, 9, density=0.06),
        Case(48, 64, 40, 11, 12, strides=(2, 1), density=0.04),
        Case(8, 40, 40, 6, 5, density=0.05),
    ],
)
def test_the_height_of_a_tile_changes_no_bit(case: Case) -> None:
    # Tiles are lower where few weights are kept; a kept zero adds nothing.
    claim(0, 0)
    few = random_weight(case)
    for op in ("SparseConv", "SparseConvInputGrad"):
        low, high = (compute(op, case, feeds(case, weight)) for weight in (few, with_zeros(few)))
        assert np.array_equal(low, high)
