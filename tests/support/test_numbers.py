"""The tolerance between two graphs lets rounding through, and no fault."""

import numpy as np
import pytest

from tests.support.numbers import check_same


def test_rounding_is_no_difference() -> None:
    wanted = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    check_same(wanted * np.float32(1 + 1e-6), wanted)
    check_same(np.zeros(3, np.float32), np.zeros(3, np.float32))


@pytest.mark.parametrize("fault", [0.01, -0.001, np.nan])
def test_a_fault_in_one_element_is(fault: float) -> None:
    wanted = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    found = wanted.copy()
    found[7] += fault * np.abs(wanted).max()
    with pytest.raises(AssertionError, match="weight"):
        check_same(found, wanted, "weight")


def test_something_in_place_of_zeros_is_a_fault() -> None:
    with pytest.raises(AssertionError):
        check_same(np.full(3, 1e-9, np.float32), np.zeros(3, np.float32))
