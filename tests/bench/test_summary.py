"""Means and deviations of the table."""

import pytest

from sparcl_compile.bench.summary import spread


@pytest.mark.parametrize(
    ("values", "form", "told"),
    [
        ([16.19 / 3] * 6, ".4g", "5.397 ± 0"),
        ([1.0, 3.0], ".1f", "2.0 ± 1.0"),
        ([None, 2.0], ".1f", "2.0"),
        ([None], ".1f", "-"),
        ([], ".1f", "-"),
    ],
)
def test_the_spread_of_values(values: list[float | None], form: str, told: str) -> None:
    assert spread(values, form) == told
