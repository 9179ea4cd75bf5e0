"""Normalisation by the op that reads: convolutions of ``max(x * factor + offset, 0)``, gates of the same."""

import ctypes
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.kernels.cases import cases
from tests.runtime.kernels.sparse import (
    BLOCK,
    Array,
    Case,
    assert_close,
    blocked_weight,
    normal,
    random_weight,
    run,
)

STATISTICS = ["next_mean", "next_var", "saved_mean", "saved_inv_std"]
NUMBERS = ["factor", "offset"]


def parameters(channels: int, seed: int) -> dict[str, Array]:
    names = ("scale", "bias", "mean", "var")
    return {name: normal((channels,), seed + number) for number, name in enumerate(names, start=10)}


def normalised(x: Array, seed: int, relu: int) -> dict[str, Array]:
    """The outputs of the normalisation, its output beside the factor and the offset."""
    inputs = ["x", "scale", "bias", "", "mean", "var"]
    outputs = ["y", *STATISTICS, "", *NUMBERS]
    found = run("BatchNormTraining", {"x": x, **parameters(len(x), seed)}, outputs, inputs=inputs, relu=relu)
    return dict(zip([name for name in outputs if name], found, strict=True))


def of_x(op: str, x: Array, feeds: dict[str, Array], numbers: dict[str, Array], last: int, **attributes: Any) -> Array:
    """Run a convolution on x with the factor and the offset, behind `last` inputs."""
    given_to = {"x": x, **feeds, **{name: numbers[name] for name in NUMBERS}}
    inputs = ["x", *feeds, *[""] * (last - 1 - len(feeds)), *NUMBERS]
    return run(op, given_to, ["out"], inputs=inputs, **attributes)[0]


def check(case: Case, blocks: bool, relu: int) -> None:
    weight = (blocked_weight if blocks else random_weight)(case)
    x = normal((case.channels, case.height, case.width, case.batch), case.seed) * 2 + 3
    dy = normal((case.outputs, *case.out(), case.batch), case.seed + 2)
    found = normalised(x, case.seed, relu)
    attributes = {"channels": case.channels, **case.attributes, **({"block": BLOCK} if blocks else {})}
    forward = {"values": weight.values, "index": weight.index, "rows": weight.rows}
    backward = {"dy": dy, "index": weight.index, "rows": weight.rows}
    for op, feeds in (("SparseConv", forward), ("SparseConvWeightGrad", backward)):
        wanted = run(op, {"x": found["y"], **feeds}, ["out"], **attributes)[0]
        mine = of_x(op, x, feeds, found, last=6, relu=relu, **attributes)
        if case.batch % 16 == 0:
            np.testing.assert_array_equal(mine, wanted)
        else:
            # What does not fill a vector is multiplied and added in two steps.
            assert_close(mine, wanted)


@settings(max_examples=60, deadline=None)
@given(case=cases(), blocks=st.booleans(), relu=st.integers(0, 1))
def test_convolutions_of_what_is_normalised(case: Case, blocks: bool, relu: int) -> None:
    check(case, blocks, relu)


@pytest.mark.parametrize("name", [b"AVX3", b"AVX2", b"SCALAR", b"EMU128", b"SSE2"])
def test_every_instruction_set(loaded: ctypes.CDLL, name: bytes) -> None:
    if not loaded.SparclUseTarget(name):
        pytest.skip(f"{name.decode()} is not in this build")
    check(Case(32, 40, 70, 16, 16, density=0.5), blocks=False, relu=1)
    check(Case(24, 33, 35, 9, 7, strides=(2, 2)), blocks=True, relu=1)


def test_the_statistics_are_those_beside_an_output() -> None:
    x = normal((5, 9, 7, 21), 0) * 2 + 3
    whole = normalised(x, 0, 1)
    inputs, outputs = ["x", "scale", "bias", "", "mean", "var"], ["", *STATISTICS, "", *NUMBERS]
    alone = run("BatchNormTraining", {"x": x, **parameters(5, 0)}, outputs, inputs=inputs, relu=1)
    for name, value in zip([name for name in outputs if name], alone, strict=True):
        np.testing.assert_array_equal(value, whole[name])
    computed = x * whole["factor"][:, None, None, None] + whole["offset"][:, None, None, None]
    np.testing.assert_allclose(np.maximum(computed, 0), whole["y"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("batch", [32, 21])
def test_the_gate_of_x(batch: int) -> None:
    x, dy = normal((5, 9, 7, batch), 0) * 2 + 3, normal((5, 9, 7, batch), 1)
    found = normalised(x, 0, 1)
    names, outputs = ["scale", "saved_mean", "saved_inv_std"], ["dx", "dscale", "dbias", "daddend"]
    feeds = {"dy": dy, "x": x, "scale": parameters(5, 0)["scale"], **{n: found[n] for n in names[1:]}}
    wanted = run("BatchNormGrad", {**feeds, "y": found["y"]}, outputs, relu=1)
    inputs = ["dy", "x", *names, "", "", "", *NUMBERS]
    mine = run("BatchNormGrad", {**feeds, **{n: found[n] for n in NUMBERS}}, outputs, inputs=inputs, relu=1)
    for one, other in zip(mine, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


CASE = Case(16, 4, 7, 5, 5)


@pytest.mark.parametrize(
    ("numbers", "relu", "found"),
    [({"factor": 4, "offset": 3}, 0, "4 and 3"), ({"factor": 4}, 0, "4 and 0"), ({}, 1, "0 and 0")],
)
def test_wrong_numbers_are_refused(numbers: dict[str, int], relu: int, found: str) -> None:
    weight = random_weight(CASE)
    feeds = {"x": normal((4, 5, 5, 16), 0), "values": weight.values, "index": weight.index, "rows": weight.rows}
    given_to = {name: np.ones(count, np.float32) for name, count in numbers.items()}
    inputs = [*feeds, "", "", *[name if name in numbers else "" for name in NUMBERS]]
    message = f"SparseConv: factor and offset have {found} numbers for 4 input channels"
    with pytest.raises(Exception, match=message):
        run("SparseConv", feeds | given_to, ["y"], inputs=inputs, channels=4, relu=relu, **CASE.attributes)


def test_a_gate_of_wrong_numbers_is_refused() -> None:
    x, ones = normal((3, 2, 2, 16), 0), np.ones(3, np.float32)
    feeds = {"dy": x, "x": x, "scale": ones, "saved_mean": ones, "saved_inv_std": ones}
    inputs = [*feeds, "", "", "", *NUMBERS]
    with pytest.raises(Exception, match="BatchNormGrad: factor and offset have 2 and 3 numbers for 3 channels"):
        run(
            "BatchNormGrad",
            {**feeds, "factor": ones[1:], "offset": ones},
            ["dx", "dscale", "dbias"],
            inputs=inputs,
            relu=1,
        )
