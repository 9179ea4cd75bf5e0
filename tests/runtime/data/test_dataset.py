"""Checks and statistics that all sources share, and the test set that is split off."""

import dataclasses

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from sparcl_compile.interface.errors import DataError, FieldError
from sparcl_compile.runtime.data import split
from sparcl_compile.runtime.data.dataset import Dataset, build
from tests.reference.statistics import channel_statistics, for_graphs
from tests.support.programs import Statistics

LABELS = np.array([0, 1, 2])


def images(dtype: str = "uint8", count: int = 3, shape: tuple[int, int, int] = (2, 4, 3)) -> np.ndarray:
    values = np.arange(count * np.prod(shape)) * 7 % 251
    return values.reshape(count, *shape).astype(dtype)


def made(
    x_train: np.ndarray | None = None,
    y_train: np.ndarray = LABELS,
    x_test: np.ndarray | None = None,
    y_test: np.ndarray = LABELS,
    classes: list[str] | None = None,
) -> Dataset:
    """A small valid data set, but for what is given."""
    train = (images() if x_train is None else x_train, y_train)
    return build("npz:some.npz", train, (images() if x_test is None else x_test, y_test), classes)


@pytest.fixture(scope="module")
def statistics(tmp_path_factory: pytest.TempPathFactory) -> Statistics:
    return Statistics(tmp_path_factory.mktemp("statistics"))


def test_a_valid_data_set_keeps_its_values(statistics: Statistics) -> None:
    dataset = made()
    np.testing.assert_array_equal(dataset.x_train, images())
    mean, _ = statistics(dataset.x_train)
    assert (dataset.x_train.dtype, dataset.y_train.dtype, mean.dtype) == (np.uint8, np.int64, np.float32)
    assert (dataset.classes, dataset.augment, dataset.sample_shape) == (("0", "1", "2"), "none", (2, 4, 3))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_graphs_formula_standardises_training_images(dtype: str, statistics: Statistics) -> None:
    dataset = made(images(dtype), x_test=images(dtype))
    mean, std = (v.reshape(1, -1, 1, 1) for v in statistics(dataset.x_train))
    assert mean.dtype == std.dtype == np.float32
    z = (dataset.x_train.astype(np.float32) / 255 - mean) / std
    np.testing.assert_allclose(z.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(axis=(0, 2, 3)), 1, rtol=1e-5)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))))
def test_statistics_agree_with_numpy(statistics: Statistics, x: np.ndarray) -> None:
    mean, std = channel_statistics(x)
    scaled = x / 255.0
    expected = scaled.std(axis=(0, 2, 3))
    varying = sorted(expected[expected > 1e-6])
    least = 0.01 * varying[(len(varying) - 1) // 2] if varying else 1.0
    np.testing.assert_allclose(mean, scaled.mean(axis=(0, 2, 3)), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(std, np.maximum(expected, least), rtol=1e-9)
    assert (std > 0).all()
    check_same(statistics, x)


def check_same(statistics: Statistics, x: np.ndarray) -> None:
    """The graphs give the same float32 numbers."""
    for found, wanted in zip(statistics(x), for_graphs(x), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_statistics_of_more_samples_than_one_chunk(statistics: Statistics) -> None:
    x = (np.arange(2500 * 4) * 31 % 256).astype(np.uint8).reshape(2500, 1, 2, 2)
    mean, std = channel_statistics(x)
    np.testing.assert_allclose([mean[0], std[0]], [x.mean() / 255, x.std() / 255], rtol=1e-12)
    check_same(statistics, x)


@pytest.mark.parametrize("value", [0.0, 0.1, -3e7])
def test_images_of_one_value_are_only_centred(value: float, statistics: Statistics) -> None:
    x = np.full((7, 2, 3, 3), value, np.float32)
    mean, std = channel_statistics(x)
    np.testing.assert_allclose(mean, value, rtol=1e-6)
    np.testing.assert_array_equal(std, 1.0)
    check_same(statistics, x)


def test_a_constant_channel_does_not_explode(statistics: Statistics) -> None:
    x = images("float32")
    x[:, 1] = 5.0
    _, std = statistics(made(x, x_test=x).x_train)
    assert std[1] == pytest.approx(0.01 * std[0], rel=1e-5)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("normalise", ["auto", "unit", "raw"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_what_is_known_without_a_look_at_the_samples(dtype: str, normalise: str, raw: bool) -> None:
    """``raw`` leaves values as they are, ``unit`` divides bytes by 255; ``auto`` computes, but for a raw model."""
    dataset = dataclasses.replace(made(images(dtype), x_test=images(dtype)), raw=raw)
    if (normalise, dtype, raw) == ("unit", "uint8", True):
        with pytest.raises(FieldError, match="was made for values as they are"):
            dataset.known_statistics(normalise)
        return
    known = dataset.known_statistics(normalise)
    assert (known is None) == (normalise == "auto" and not raw)
    if known is None:
        return
    z = (dataset.x_train.astype(np.float32) / 255 - known[0].reshape(1, -1, 1, 1)) / known[1].reshape(1, -1, 1, 1)
    divisor = 255 if (normalise, dtype) == ("unit", "uint8") else 1
    np.testing.assert_allclose(z, dataset.x_train / divisor, rtol=1e-6)
    formula = dataset.formula(normalise, *known)
    assert formula == {"scale": divisor, "mean": [0.0, 0.0], "std": pytest.approx([1.0, 1.0])}


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_float64_becomes_float32_and_uint8_stays(dtype: str) -> None:
    source = images("float64" if dtype == "float32" else dtype)
    assert made(source, x_test=source).x_test.dtype == dtype


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": images()[0]}, "x_train has 3 axes"),
        ({"x_train": images(count=0), "y_train": np.zeros(0, int)}, "x_train holds no images"),
        ({"x_test": images("int32")}, "x_test is int32; save it as uint8"),
        ({"x_test": images().astype(object)}, "x_test is object"),
        ({"x_test": images("float32")}, "training images are uint8 2x4x3, test images float32 2x4x3"),
        ({"x_test": images(shape=(2, 3, 4))}, "training images are uint8 2x4x3, test images uint8 2x3x4"),
        (
            {"y_train": np.array([0.0, 1.0, 2.0])},
            "y_train is float64, and labels are .* save it as int64",
        ),
        ({"y_train": np.array([0.0, 0.5, 2.0])}, "y_train holds 0.5, and labels are integers from 0; give each"),
        ({"y_train": np.array([True, False, True])}, "y_train is bool"),
        ({"y_train": np.array([0, 1])}, r"y_train has shape \[2\] for 3 images"),
        ({"y_train": np.eye(3, dtype=int)}, r"y_train has shape \[3, 3\] for 3 images"),
        ({"y_test": np.array([0, -1, 2])}, r"y_test\[1\] is -1, out of range"),
        ({"y_test": np.array([0, 1, 2**63], np.uint64)}, r"y_test\[2\] is 9223372036854775808, out of range"),
        ({"y_train": np.array([0, 1, 3])}, "class 2 has no samples in y_train"),
        ({"y_test": np.array([0, 0, 2])}, "class 1 has no samples in y_test"),
        (
            {"y_train": np.array([0, 1, 4]), "y_test": np.array([0, 1, 4])},
            "no sample has label 2, the largest label is 4",
        ),
        ({"classes": ["a", "b"]}, r"y_train\[2\] is 2, out of range for 2 classes"),
        ({"classes": ["a", "b", "c", "d"]}, "class d has no samples in y_train"),
    ],
)
def test_what_is_no_data_set_is_refused_in_one_line(change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        made(**change)
    assert str(caught.value).startswith("npz:some.npz: ")
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_values_that_are_not_finite_are_counted_and_placed(value: float) -> None:
    x = images("float64")
    x[1, 0, 2, 1] = x[2] = value
    with pytest.raises(DataError, match=r"x_test holds 25 values .* the first at \[1, 0, 2, 1\]"):
        made(images("float32"), x_test=x)


def test_labels_as_a_column_are_flattened() -> None:
    np.testing.assert_array_equal(made(y_train=LABELS[:, np.newaxis].astype(np.uint8)).y_train, LABELS)


@given(hnp.arrays(np.int64, st.integers(0, 60), elements=st.integers(0, 4)))
def test_every_fifth_of_each_class_is_for_testing(y: np.ndarray) -> None:
    ids = np.arange(len(y))
    (x_train, y_train), (x_test, y_test) = split.stratified(ids, y)
    assert sorted([*x_train, *x_test]) == list(ids)
    np.testing.assert_array_equal(y[x_train], y_train)
    np.testing.assert_array_equal(y[x_test], y_test)
    for label in range(5):
        np.testing.assert_array_equal(x_test[y_test == label], ids[y == label][4::5])
