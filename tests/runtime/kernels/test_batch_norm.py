"""BatchNormTraining and BatchNormGrad against PyTorch's autograd in double precision."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.runtime.kernels.sparse import Array, assert_close, normal, run

EPSILON, MOMENTUM = 1e-5, 0.8
STATISTICS = ["next_mean", "next_var", "saved_mean", "saved_inv_std"]


def feeds(shape: tuple[int, int, int, int], seed: int, addend: bool) -> dict[str, Array]:
    channels = shape[:1]
    named = {
        "x": normal(shape, seed) * 2 + 3,
        "scale": normal(channels, seed + 1),
        "bias": normal(channels, seed + 2),
        "mean": normal(channels, seed + 3),
        "var": np.abs(normal(channels, seed + 4)),
    }
    return named | ({"addend": normal(shape, seed + 5)} if addend else {})


def forward(found: dict[str, Array], relu: bool, threads: int = 2) -> list[Array]:
    attributes = {"epsilon": EPSILON, "momentum": MOMENTUM, "relu": int(relu)}
    inputs = ["x", "scale", "bias", "addend" if "addend" in found else "", "mean", "var"]
    return run("BatchNormTraining", found, ["y", *STATISTICS], threads, inputs=inputs, **attributes)


def backward(found: dict[str, Array], relu: bool, outputs: list[str], threads: int = 2) -> list[Array]:
    return run("BatchNormGrad", found, outputs, threads, relu=int(relu))


def reference(found: dict[str, Array], relu: bool, dy: Array) -> tuple[list[Array], dict[str, Array]]:
    """The outputs of the forward op, and the gradients by the input's name."""
    leaves = {name: torch.tensor(value).double().requires_grad_() for name, value in found.items()}
    x = leaves["x"]
    mean = x.mean((1, 2, 3))
    variance = x.var((1, 2, 3), unbiased=False)
    inv_std = 1 / torch.sqrt(variance + EPSILON)

    def over(values: torch.Tensor) -> torch.Tensor:
        return values[:, None, None, None]

    y = (x - over(mean)) * over(inv_std * leaves["scale"]) + over(leaves["bias"]) + leaves.get("addend", 0.0)
    y = y.relu() if relu else y
    y.backward(torch.tensor(dy).double())
    following = [leaves[old] * MOMENTUM + new * (1 - MOMENTUM) for old, new in (("mean", mean), ("var", variance))]
    outputs = [tensor.detach().numpy() for tensor in (y, *following, mean, inv_std)]
    return outputs, {name: leaf.grad.numpy() for name, leaf in leaves.items() if leaf.grad is not None}


shapes = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.sampled_from([2, 7, 16, 33, 64]))


@settings(max_examples=80, deadline=None)
@given(shape=shapes, seed=st.integers(0, 100), relu=st.booleans(), addend=st.booleans())
# Of more than 4 MiB: with channels of whole vectors, which go past the caches, and others.
@example(shape=(40, 30, 30, 32), seed=0, relu=True, addend=True)
@example(shape=(40, 30, 30, 32), seed=1, relu=True, addend=False)
@example(shape=(40, 27, 27, 37), seed=2, relu=True, addend=True)
def test_equal_autograd(shape: tuple[int, int, int, int], seed: int, relu: bool, addend: bool) -> None:
    found, dy = feeds(shape, seed, addend), normal(shape, seed + 6)
    outputs = forward(found, relu)
    expected, gradients = reference(found, relu, dy)
    for mine, theirs in zip(outputs, expected, strict=True):
        assert_close(mine, theirs)

    given_feeds = {
        "dy": dy,
        "x": found["x"],
        "scale": found["scale"],
        "saved_mean": outputs[3],
        "saved_inv_std": outputs[4],
    }
    given_feeds |= {"y": outputs[0]} if relu else {}
    names = ["dx", "dscale", "dbias"] + (["daddend"] if addend else [])
    for name, mine in zip(names, backward(given_feeds, relu, names), strict=True):
        assert_close(mine, gradients[name[1:]])


def test_a_large_channel_far_from_zero() -> None:
    found = feeds((2, 40, 40, 32), 0, False)
    found["x"] += 1000
    expected, _ = reference(found, False, found["x"])
    # x itself has an error of 1000 * 2**-24, a hundred thousandth of its deviation of 2.
    np.testing.assert_allclose(forward(found, False)[0], expected[0], rtol=0, atol=1e-3)


def test_a_constant_channel_has_no_variance() -> None:
    found = feeds((2, 3, 3, 16), 0, False)
    found["x"][:] = 5
    y, _, _, mean, inv_std = forward(found, False)
    np.testing.assert_allclose(y, np.broadcast_to(found["bias"][:, None, None, None], y.shape), rtol=0, atol=2e-3)
    np.testing.assert_allclose(mean, 5)
    np.testing.assert_allclose(inv_std, 1 / np.sqrt(EPSILON), rtol=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    found = feeds((9, 20, 20, 32), 0, True)
    for mine, other in zip(forward(found, True, 2), forward(found, True, threads), strict=True):
        assert np.array_equal(mine, other)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("scale", lambda a: a[1:], "BatchNormTraining: scale has 2 numbers for 3 channels"),
        ("var", lambda a: a[None], "BatchNormTraining: var has 2 axes, not 1"),
        ("addend", lambda a: a[:, 1:], r"BatchNormTraining: addend is \[3, 1, 2, 16\] and x is \[3, 2, 2, 16\]"),
        ("x", lambda a: a[..., :0], r"BatchNormTraining: (x is empty|addend is)"),
    ],
)
def test_wrong_input_is_refused(name: str, change: Any, message: str) -> None:
    found = feeds((3, 2, 2, 16), 0, True)
    with pytest.raises(Exception, match=message):
        forward({**found, name: change(found[name])}, False)


def test_the_rectifier_needs_y() -> None:
    x, ones = normal((3, 2, 2, 16), 0), np.ones(3, dtype=np.float32)
    found = {"dy": x, "x": x, "scale": ones, "saved_mean": ones, "saved_inv_std": ones}
    with pytest.raises(Exception, match="BatchNormGrad: input y is missing, which the attribute relu needs"):
        backward(found, True, ["dx", "dscale", "dbias"])
    with pytest.raises(Exception, match=r"BatchNormGrad: dy is \[3, 2, 2, 15\] and x is \[3, 2, 2, 16\]"):
        backward({**found, "dy": x[..., 1:]}, False, ["dx", "dscale", "dbias"])
