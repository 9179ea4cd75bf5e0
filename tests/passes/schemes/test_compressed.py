import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.passes.schemes.compressed import compress, decompress

WEIGHT = np.array([[[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]]], np.float32)
MASK = np.array([[[0, 1]], [[0, 0]], [[1, 1]]], np.float32)
SHAPES = st.sampled_from([(4, 3, 3, 3), (1, 6), (5, 1), (3, 2, 2), (2, 1, 1, 1)])


def test_kept_values_their_positions_and_the_rows() -> None:
    values, index, rows = compress(WEIGHT, MASK, 5)
    assert values.tolist() == [2, 5, 6, 0, 0]
    assert index.tolist() == [1, 4, 5, 0, 0]
    assert rows.tolist() == [0, 1, 1, 3]
    assert (values.dtype, index.dtype, rows.dtype) == (np.float32, np.int32, np.int32)


def test_back_again() -> None:
    weight, mask = decompress(*compress(WEIGHT, MASK, 5), WEIGHT.shape)
    np.testing.assert_array_equal(weight, WEIGHT * MASK)
    np.testing.assert_array_equal(mask, MASK)
    assert (weight.dtype, mask.dtype) == (np.float32, np.float32)


def test_a_kept_weight_of_zero_is_kept() -> None:
    values, index, rows = compress(np.zeros((2, 3), np.float32), np.eye(2, 3, dtype=np.float32), 2)
    assert (values.tolist(), index.tolist(), rows.tolist()) == ([0, 0], [0, 4], [0, 1, 2])
    np.testing.assert_array_equal(decompress(values, index, rows, (2, 3))[1], np.eye(2, 3))


def test_padding_is_not_read() -> None:
    values, index, rows = compress(WEIGHT, MASK, 5)
    values[3:], index[3:] = np.nan, 99
    np.testing.assert_array_equal(decompress(values, index, rows, WEIGHT.shape)[0], WEIGHT * MASK)


@given(shape=SHAPES, density=st.sampled_from([0.0, 0.2, 0.7, 1.0]), spare=st.integers(0, 3), seed=st.integers(0, 2**20))
def test_there_and_back(shape: tuple[int, ...], density: float, spare: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight, mask = rng.normal(size=shape).astype(np.float32), (rng.random(shape) < density).astype(np.float32)
    live = int(mask.sum())
    values, index, rows = compress(weight, mask, live + spare)
    assert values.shape == index.shape == (live + spare,)
    assert rows[0] == 0
    assert rows[-1] == live
    assert not values[live:].any()
    assert not index[live:].any()
    assert (np.diff(index[:live]) > 0).all()
    outputs = np.searchsorted(rows, np.arange(live), side="right") - 1
    np.testing.assert_array_equal(outputs, index[:live] // math.prod(shape[1:]))
    found, kept = decompress(values, index, rows, shape)
    np.testing.assert_array_equal(found, weight * mask)
    np.testing.assert_array_equal(kept, mask)


@pytest.mark.parametrize("places", [0, 2])
def test_more_weights_than_places_are_refused(places: int) -> None:
    with pytest.raises(ValueError, match=f"3 kept weights for {places} places"):
        compress(WEIGHT, MASK, places)


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(6,\) for a weight of shape \(3, 1, 2\)"):
        compress(WEIGHT, MASK.reshape(-1), 5)


@pytest.mark.parametrize("shape", [(6, 1, 1), (2, 3)])
def test_another_number_of_outputs_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="not of"):
        decompress(*compress(WEIGHT, MASK, 5), shape)


@pytest.mark.parametrize("live", [-1, 6])
def test_rows_that_end_elsewhere_are_refused(live: int) -> None:
    values, index, rows = compress(WEIGHT, MASK, 5)
    rows[-1] = live
    with pytest.raises(ValueError, match=f"to {live}"):
        decompress(values, index, rows, WEIGHT.shape)


def test_an_index_of_another_length_is_refused() -> None:
    values, index, rows = compress(WEIGHT, MASK, 5)
    with pytest.raises(ValueError, match="not of"):
        decompress(values, index[:4], rows, WEIGHT.shape)


def test_a_position_outside_of_the_weight_is_refused() -> None:
    values, index, rows = compress(WEIGHT, MASK, 5)
    index[2] = WEIGHT.size
    with pytest.raises(IndexError):
        decompress(values, index, rows, WEIGHT.shape)
