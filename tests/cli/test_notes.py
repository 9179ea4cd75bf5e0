"""The note about mask policies that compute more than is counted."""

import pytest

from sparcl_compile.cli.notes import flops_line
from sparcl_compile.settings.options import CompileOptions


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"mask_policy": "gradual"}, "the first task begins with all weights"),
        ({"mask_policy": "mest-em-s"}, "more weights are kept"),
        ({"mask_policy": "rigl"}, "gradients of pruned weights are measured"),
        ({"mask_policy": "snip"}, "gradients of pruned weights are measured"),
        ({"growth": "gradient"}, "gradients of pruned weights are measured"),
    ],
    ids=str,
)
def test_a_policy_that_costs_more_than_is_counted_says_so(options: dict[str, str], reason: str) -> None:
    assert reason in flops_line(CompileOptions(**options))


@pytest.mark.parametrize("options", [{}, {"mask_policy": "set"}, {"mask_policy": "rigl", "growth": "random"}], ids=str)
def test_the_others_have_no_note(options: dict[str, str]) -> None:
    assert not flops_line(CompileOptions(**options))
