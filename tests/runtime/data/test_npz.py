"""Arrays in .npz files: keys, shapes and damage."""

from pathlib import Path

import numpy as np
import pytest

from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.data import load

Y = np.array([0, 1, 1, 0])


def pixels(*shape: int, dtype: str = "uint8") -> np.ndarray:
    return (np.arange(np.prod(shape)) % 256).reshape(shape).astype(dtype)


def saved(folder: Path, **arrays: np.ndarray) -> str:
    np.savez(folder / "data.npz", **arrays)
    return f"npz:{folder / 'data.npz'}"


def whole(folder: Path, x: np.ndarray) -> str:
    return saved(folder, x_train=x, y_train=Y, x_test=x[::-1], y_test=Y[::-1])


@pytest.mark.parametrize(
    ("shape", "kept"),
    [
        ((4, 7), (7, 1, 1)),
        ((4, 6, 5), (1, 6, 5)),
        ((4, 1, 6, 5), (1, 6, 5)),
        ((4, 6, 5, 1), (1, 6, 5)),
        ((4, 6, 5, 3), (3, 6, 5)),
        ((4, 6, 5, 4), (4, 6, 5)),
        ((4, 3, 5, 3), (3, 5, 3)),
        ((4, 2, 6, 5), (2, 6, 5)),
        ((4, 16, 6, 5), (16, 6, 5)),
    ],
)
def test_shapes_are_recognised(shape: tuple[int, ...], kept: tuple[int, ...], tmp_path: Path) -> None:
    assert load(whole(tmp_path, pixels(*shape))).sample_shape == kept


def test_channels_last_images_are_transposed(tmp_path: Path) -> None:
    x = pixels(4, 6, 5, 3)
    dataset = load(whole(tmp_path, x))
    np.testing.assert_array_equal(dataset.x_train[2, 1], x[2, :, :, 1])
    np.testing.assert_array_equal(dataset.x_test[0, 2], x[3, :, :, 2])
    assert dataset.x_train.flags.c_contiguous


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_floats_are_taken_as_they_are(dtype: str, tmp_path: Path) -> None:
    dataset = load(whole(tmp_path, pixels(4, 3, dtype=dtype) / 8 - 1))
    assert (dataset.x_train.dtype, dataset.scale) == (np.float32, 1.0)
    np.testing.assert_array_equal(dataset.x_train[:, :, 0, 0], pixels(4, 3) / 8 - 1)


def test_x_and_y_are_split(tmp_path: Path) -> None:
    y = np.array([0, 1] * 5)
    dataset = load(saved(tmp_path, x=pixels(10, 3), y=y))
    np.testing.assert_array_equal(dataset.x_test[:, 0, 0, 0], [8 * 3, 9 * 3])
    np.testing.assert_array_equal(dataset.y_train, y[:8])


def test_compressed_and_named_otherwise(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "data.npz", x_train=pixels(4, 3), y_train=Y, x_test=pixels(4, 3), y_test=Y)
    other = (tmp_path / "data.npz").rename(tmp_path / "data.bin")
    assert len(load(f"npz:{other}").x_train) == 4


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "holds nothing"),
        (
            {"x_train": pixels(4, 3), "y_train": Y},
            "holds x_train, y_train; save it with the keys x_train, y_train, x_test",
        ),
        ({"x": pixels(4, 3)}, "holds x; save it with"),
        ({"x": pixels(4, 2, 2, 2, 2), "y": Y}, "x has 5 axes"),
        ({"x": pixels(4), "y": Y}, "x has 1 axes"),
        ({"x": pixels(4, 3), "y": Y}, "x_test holds no images .*at least 5"),
        ({"x": pixels(6, 3), "y": np.array([0] * 5 + [1])}, "class 1 has no samples in y_test; .*at least 5"),
        ({"x": pixels(4, 3), "y": Y[:3]}, r"y has shape \[3\] for 4 images"),
        ({"x": pixels(4, 3), "y": Y * 0.5}, "y holds 0.5"),
        ({"x": pixels(0, 3), "y": Y[:0]}, "x_train holds no images"),
        ({"x": np.array(["a"] * 4)[:, np.newaxis], "y": Y}, "x_train is <U1"),
    ],
)
def test_other_contents_are_refused(arrays: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(saved(tmp_path, **arrays))
    assert "\n" not in str(caught.value)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    objects = np.array([{"code": "none"}] * 4, dtype=object)
    with pytest.raises(DataError, match="not plain arrays"):
        load(saved(tmp_path, x=objects, y=Y))


@pytest.mark.parametrize("keep", [0, 1, 100, -30, -1])
def test_a_truncated_file_is_refused(keep: int, tmp_path: Path) -> None:
    source = whole(tmp_path, pixels(4, 100))
    path = tmp_path / "data.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"not a \.npz file, or cut short"):
        load(source)


def test_a_flipped_byte_is_noticed(tmp_path: Path) -> None:
    source = whole(tmp_path, pixels(4, 500))
    path = tmp_path / "data.npz"
    data = bytearray(path.read_bytes())
    data[800] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        load(source)


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", pixels(4, 3))
    with pytest.raises(DataError, match=r"numpy\.savez"):
        load(f"npz:{tmp_path / 'x.npy'}")


def test_a_broken_directory_is_refused_and_the_file_closed(tmp_path: Path) -> None:
    source = whole(tmp_path, pixels(4, 3))
    path = tmp_path / "data.npz"
    path.write_bytes(path.read_bytes().replace(b"PK\x01\x02", b"PK\x09\x09"))
    with pytest.raises(DataError, match=r"damaged|cut short"):  # as from Python 3.14 on
        load(source)


def test_arrays_of_objects_are_refused_with_what_makes_them_plain(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", x=np.zeros((5, 4), np.float32), y=np.array(list("abcde"), object))
    with pytest.raises(DataError, match=r"make arrays of objects plain .* y\.astype\(str\)"):
        load(f"npz:{tmp_path / 'objects.npz'}")
