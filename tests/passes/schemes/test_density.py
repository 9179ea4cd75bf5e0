"""Erdos-Renyi-Kernel densities by hand (Evci et al., RigL, ICML 2020, section 3)."""

import pytest

from sparcl_compile.passes.schemes.density import densities

SHAPES = {"wide": (16, 8, 3, 3), "small": (8, 8, 1, 1)}
"""1,152 and 64 weights; their output channels, input channels, width and height add up to 30 and 18."""


def test_a_layer_keeps_weights_in_proportion_to_the_sum_of_its_dimensions() -> None:
    kept = 0.1 * (1152 + 64)
    wanted = {"wide": kept * 30 / 48 / 1152, "small": kept * 18 / 48 / 64}
    assert densities(SHAPES, 0.9, "erk") == pytest.approx(wanted)


def test_a_layer_that_would_keep_more_than_it_has_is_whole_and_the_rest_makes_up_for_it() -> None:
    kept = 0.5 * (1152 + 64)
    assert densities(SHAPES, 0.5, "erk") == pytest.approx({"wide": (kept - 64) / 1152, "small": 1.0})
