"""Samples and labels as an app has them become those of a program's tables."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.interface.errors import DataError
from sparcl_compile.interface.manifest import Layout, Model
from sparcl_compile.runtime.learner.forms import Form, alone, augments, blocks_of, fitted, form_of, joined, names_of
from tests.support import described


def model(layout: Layout, *shape: int | None, **more: Any) -> Model:
    return dataclasses.replace(described.manifest().model, layout=layout, input_shape=shape, classes=4, **more)


COLOUR, GREY = model("NCHW", 3, 6, 5), model("NHWC", 6, 5, 1)


def raw(samples: Any, one: Model) -> np.ndarray:
    """The samples as a table has them; another size is cut, in the place of resizing."""
    blocks = blocks_of(samples, one)
    form = form_of(blocks, one)
    return fitted(joined(blocks, form, lambda x: x[:, :, :6, :5]), one).x_train


@given(seed=st.integers(0, 2**20), count=st.integers(1, 4))
def test_channels_first_and_last_are_the_same(seed: int, count: int) -> None:
    x = np.random.default_rng(seed).integers(0, 256, (count, 3, 6, 5), dtype=np.uint8)
    for form in (x, x.transpose(0, 2, 3, 1), list(x), list(x.transpose(0, 2, 3, 1))):
        np.testing.assert_array_equal(raw(form, COLOUR), x)
    grey = x[:, :1]
    for form in (grey, grey[:, 0], grey.transpose(0, 2, 3, 1), list(grey[:, 0])):
        np.testing.assert_array_equal(raw(form, GREY), grey)


def test_where_both_ends_are_as_long_as_the_channels_the_first_are_them() -> None:
    x = np.arange(27, dtype=np.uint8).reshape(1, 3, 3, 3)
    np.testing.assert_array_equal(raw(x, model("NCHW", 3, 3, 3)), x)


def test_images_of_several_sizes_are_resized_one_by_one() -> None:
    x = [np.zeros((6, 5, 3), np.uint8), np.ones((8, 9, 3), np.uint8), np.full((3, 7, 6), 2, np.uint8)]
    found = raw(x, COLOUR)
    assert found.shape == (3, 3, 6, 5)
    assert found[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_vectors_sequences_and_volumes() -> None:
    rng = np.random.default_rng(0)
    vector = rng.normal(size=(2, 7)).astype(np.float32)
    np.testing.assert_array_equal(raw(vector, model("flat", 7)), vector[:, :, None, None])
    series = rng.normal(size=(2, 3, 7)).astype(np.float32)
    np.testing.assert_array_equal(raw(series, model("NCT", 3, 7)), series[..., None])
    np.testing.assert_array_equal(raw(series, model("NTC", 3, 7)), series.transpose(0, 2, 1)[..., None])
    np.testing.assert_array_equal(raw(series[:, 0], model("NCT", 1, 7)), series[:, :1, :, None])
    volume = rng.normal(size=(2, 3, 4, 5, 6)).astype(np.float32)
    np.testing.assert_array_equal(raw(volume, model("NCDHW", 3, 4, 5, 6)), volume.reshape(2, 3, 20, 6))


def test_types() -> None:
    assert raw(np.zeros((1, 6, 5)), GREY).dtype == np.float32
    assert raw(np.zeros((1, 6, 5), np.float16), GREY).dtype == np.float32
    tokens = model("flat", 4, input_type="int64", raw=True, rows=9)
    assert raw(np.array([[0, 8, 3, 3]]), tokens).dtype == np.float32
    with pytest.raises(DataError, match="9"):
        raw(np.array([[0, 9, 3, 3]]), tokens)


@pytest.mark.parametrize(
    ("x", "one", "message"),
    [
        (np.zeros((1, 4, 6, 5), np.uint8), COLOUR, r"takes images with 3 channels, and the array is \[1, 4, 6, 5\]"),
        (np.zeros((1, 6, 5), np.uint8), COLOUR, r"the array is \[1, 6, 5\]; give \[N, 3, height, width\] or"),
        (np.zeros((1, 6), np.uint8), GREY, r"the array is \[1, 6\]"),
        (np.zeros((1, 1, 1, 6, 5), np.uint8), GREY, r"the array is \[1, 1, 1, 6, 5\]"),
        (np.zeros(7), model("flat", 7), "has 1 axes"),
        (np.zeros((2, 8)), model("flat", 7), "the model takes 7, the array gives 8x1x1"),
        (np.zeros((1, 6, 5), np.int32), GREY, "is int32; save it as uint8"),
        (np.full((1, 6, 5), np.inf), GREY, "NaN or infinite"),
        (np.zeros((1, 6, 5), bool), GREY, "is bool"),
    ],
)
def test_samples_that_do_not_fit(x: np.ndarray, one: Model, message: str) -> None:
    with pytest.raises(DataError, match=message):
        raw(x, one)


@pytest.mark.parametrize("shape", [(3, 6, 5), (6, 5, 3), (3, 9, 9)])
def test_one_sample_alone(shape: tuple[int, ...]) -> None:
    x = np.ones(shape, np.uint8)
    (found,) = alone(x, COLOUR)
    np.testing.assert_array_equal(found, x)
    with pytest.raises(DataError, match=r"^sample: \[2, .*\] is an array of samples; give one of them"):
        alone(np.stack([x, x]), COLOUR)


def test_what_is_neither_one_sample_nor_several_is_left_to_others() -> None:
    (found,) = alone(np.ones(7), COLOUR)
    with pytest.raises(DataError, match="takes images with 3 channels"):
        blocks_of([found], COLOUR)


@given(st.lists(st.one_of(st.text(min_size=1), st.integers()), max_size=9))
def test_labels_are_names(labels: list[str | int]) -> None:
    assert names_of(labels, len(labels)) == [str(label) for label in labels]
    with pytest.raises(DataError, match=f"there are {len(labels)} for {len(labels) + 1} samples"):
        names_of(labels, len(labels) + 1)


def test_labels_of_numpy() -> None:
    assert names_of(np.array([3, 4]), 2) == ["3", "4"]
    assert names_of(np.array([[3], [4]], np.uint8), 2) == ["3", "4"]
    assert names_of(np.array(["a", "b"]), 2) == ["a", "b"]
    assert names_of("cat", 1) == ["cat"]


@pytest.mark.parametrize("label", [None, 1.0, "", True, b"a", np.float32(2), np.bool_(True)])
def test_labels_that_are_no_names(label: object) -> None:
    with pytest.raises(DataError, match="is no name; give texts or whole numbers"):
        names_of([label], 1)


def test_images_in_colours_are_changed_at_random_unless_the_app_says_otherwise() -> None:
    assert [augments(Form("uint8", (3, 6, 5)), wanted, "NCHW") for wanted in ("auto", "none", "crop_flip")] == [
        True,
        False,
        True,
    ]
    assert not augments(Form("uint8", (3, 6, 5)), "auto", "flat")
    assert not augments(Form("uint8", (1, 6, 5)), "auto", "NCHW")
    assert not augments(Form("float32", (3, 6, 5)), "auto", "NCHW")
