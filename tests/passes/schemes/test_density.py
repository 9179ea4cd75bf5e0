"""Counts of shares, and Erdos-Renyi-Kernel densities by hand (Evci et al., RigL, ICML 2020, section 3)."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.passes.schemes.density import count, densities

SHAPES = {"wide": (16, 8, 3, 3), "small": (8, 8, 1, 1)}
"""1,152 and 64 weights; their output channels, input channels, width and height add up to 30 and 18."""


def test_a_layer_keeps_weights_in_proportion_to_the_sum_of_its_dimensions() -> None:
    kept = 0.1 * (1152 + 64)
    wanted = {"wide": kept * 30 / 48 / 1152, "small": kept * 18 / 48 / 64}
    assert densities(SHAPES, 0.9, "erk") == pytest.approx(wanted)


def test_a_layer_that_would_keep_more_than_it_has_is_whole_and_the_rest_makes_up_for_it() -> None:
    kept = 0.5 * (1152 + 64)
    assert densities(SHAPES, 0.5, "erk") == pytest.approx({"wide": (kept - 64) / 1152, "small": 1.0})


@pytest.mark.parametrize(
    ("share", "total", "counted"),
    [
        (1.0 - 0.9, 15, 2),
        (1.0 - 0.8 - 0.005, 100, 20),
        (1.0 - 0.8 - 0.005, 300, 59),
        (0.2, 2, 0),
        (0.25, 2, 1),
        (1.0, 7, 7),
        (5 / 6, 3, 3),
        (112.5 / 135, 135, 113),
        (1 / 3, 10**9, 333_333_333),
    ],
)
def test_halves_round_up_as_decimals_have_them(share: float, total: int, counted: int) -> None:
    assert count(share, total) == counted


@given(st.integers(0, 1000), st.integers(0, 10), st.integers(1, 4000))
def test_a_count_is_that_of_the_decimal_share(sparsity: int, churn: int, total: int) -> None:
    """With the differences that kept counts are taken of: the density, and the density without what is exchanged."""
    exact = Fraction(1000 - sparsity - churn, 1000)
    assert count(1.0 - sparsity / 1000 - churn / 1000, total) == (2 * exact * total + 1) // 2
