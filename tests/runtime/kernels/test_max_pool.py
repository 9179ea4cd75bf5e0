"""MaxPoolBatchLast and its gradient against PyTorch's."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from tests.runtime.kernels.cases import cases
from tests.runtime.kernels.sparse import Array, Case, normal, run, to_chwn, to_nchw

LOWEST = np.finfo(np.float32).min


def expected(case: Case, x: Array, dy: Array | None = None) -> tuple[Array, Array]:
    """The pooled planes and the gradient of x; a window in the padding alone has the lowest number."""
    top, left, bottom, right = case.pads
    leaf = torch.tensor(to_nchw(x)).requires_grad_()
    padded = torch.nn.functional.pad(leaf, (left, right, top, bottom), value=float(LOWEST))
    y = torch.nn.functional.max_pool2d(padded, case.kernel, case.strides, dilation=case.dilations)
    y.backward(torch.ones_like(y) if dy is None else torch.tensor(to_nchw(dy)))
    assert leaf.grad is not None
    return to_chwn(y.detach().numpy()), to_chwn(leaf.grad.numpy())


def pool(case: Case, x: Array, threads: int = 2) -> Array:
    return run("MaxPoolBatchLast", {"x": x}, ["y"], threads, **case.attributes)[0]


def gradient(case: Case, dy: Array, x: Array, y: Array, threads: int = 2) -> Array:
    return run("MaxPoolBatchLastGrad", {"dy": dy, "x": x, "y": y}, ["dx"], threads, **case.attributes)[0]


@settings(max_examples=120, deadline=None)
@given(case=cases())
def test_equal_pytorch(case: Case) -> None:
    # Few different numbers: most windows have several largest ones, of which the first counts.
    x = np.round(normal((case.channels, case.height, case.width, case.batch), case.seed))
    y, _ = expected(case, x)
    dy = normal(y.shape, case.seed + 1)
    found = pool(case, x)
    np.testing.assert_array_equal(found, y)
    np.testing.assert_allclose(gradient(case, dy, x, found), expected(case, x, dy)[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    case = Case(16, 24, 24, 9, 9, kernel=(3, 3), strides=(2, 2))
    x = normal((24, 9, 9, 16), 0)
    y = pool(case, x)
    dy = normal(y.shape, 1)
    assert np.array_equal(pool(case, x, threads), y)
    assert np.array_equal(gradient(case, dy, x, y, threads), gradient(case, dy, x, y))


def test_what_is_not_a_number_is_never_the_largest() -> None:
    case = Case(16, 1, 1, 2, 2, kernel=(2, 2), pads=(0, 0, 0, 0))
    x = np.full((1, 2, 2, 16), np.nan, np.float32)
    assert (pool(case, x) == LOWEST).all()
    x[0, 1, 0] = 3.0
    assert (pool(case, x) == 3.0).all()


CASE = Case(16, 4, 4, 5, 5, kernel=(3, 3), pads=(0, 0, 0, 0))
OUT = (4, 3, 3, 16)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kernel_shape": [6, 3]}, r"MaxPoolBatchLast: the kernel is larger than the padded x \[4, 5, 5, 16\]"),
        ({"kernel_shape": [65, 3]}, "MaxPoolBatchLast: kernel_shape: the height is 65, not 1 to 64"),
        ({"strides": [0, 1]}, "MaxPoolBatchLast: strides: that of the height is 0, not 1 to 16"),
    ],
)
def test_a_wrong_window_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        run("MaxPoolBatchLast", {"x": normal((4, 5, 5, 16), 0)}, ["y"], **{**CASE.attributes, **changed})


def test_gradients_of_other_shapes_are_refused() -> None:
    x, y = normal((4, 5, 5, 16), 0), normal(OUT, 1)
    with pytest.raises(Exception, match=r"MaxPoolBatchLastGrad: dy is \[4, 2, 3, 16\] for x \[4, 5, 5, 16\]"):
        gradient(CASE, y[:, 1:], x, y)
    with pytest.raises(Exception, match=r"MaxPoolBatchLastGrad: y is \[3, 3, 3, 16\] for x"):
        gradient(CASE, y, x, y[1:])
