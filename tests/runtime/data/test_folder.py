"""Image folders."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngImageFile

from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.data import load


def draw(path: Path, mode: str = "RGB", size: tuple[int, int] = (5, 4), value: int = 0) -> np.ndarray:
    """Write an image of this width and height and return its pixels."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = (np.arange(size[0] * size[1] * channels) + value) % 256
    shape = (size[1], size[0]) if channels == 1 else (size[1], size[0], channels)
    array = pixels.astype(np.uint8).reshape(shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array, mode=None if mode != "P" else "L").save(path)
    return array


def divided(folder: Path, mode: str = "RGB") -> str:
    for i, part in enumerate(("train/cat", "train/dog", "test/cat", "test/dog")):
        for j in range(2):
            draw(folder / part / f"{j}.png", mode, value=20 * i + j)
    return f"folder:{folder}"


def test_colour_folders_with_a_test_set(tmp_path: Path) -> None:
    dataset = load(divided(tmp_path))
    assert (dataset.classes, dataset.sample_shape, dataset.augment) == (("cat", "dog"), (3, 4, 5), "crop_flip")
    np.testing.assert_array_equal(dataset.y_train, [0, 0, 1, 1])
    expected = np.asarray(Image.open(tmp_path / "test/dog/1.png"))
    np.testing.assert_array_equal(dataset.x_test[3], expected.transpose(2, 0, 1))


def test_grey_folders_have_one_channel(tmp_path: Path) -> None:
    dataset = load(divided(tmp_path, "L"))
    assert (dataset.sample_shape, dataset.augment) == ((1, 4, 5), "none")
    np.testing.assert_array_equal(dataset.x_train[2, 0], np.asarray(Image.open(tmp_path / "train/dog/0.png")))


def test_one_colour_image_makes_all_colour(tmp_path: Path) -> None:
    source = divided(tmp_path, "L")
    draw(tmp_path / "train/dog/0.png", "RGBA")
    dataset = load(source)
    assert dataset.sample_shape == (3, 4, 5)
    np.testing.assert_array_equal(dataset.x_train[0, 0], dataset.x_train[0, 2])


def test_folders_without_a_test_set_are_split_by_name(tmp_path: Path) -> None:
    for label in ("b", "a"):
        for i in reversed(range(6)):
            draw(tmp_path / label / f"{i}.png", value=ord(label) + i)
    dataset = load(f"folder:{tmp_path}")
    assert (dataset.classes, len(dataset.x_train), len(dataset.x_test)) == (("a", "b"), 10, 2)
    np.testing.assert_array_equal(dataset.x_test[:, 0, 0, 0], [ord("a") + 4, ord("b") + 4])


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    source = divided(tmp_path)
    for name in ("Thumbs.db", ".hidden.png", "notes.txt"):
        (tmp_path / "train/cat" / name).write_text("no image")
    (tmp_path / "train/.cache").mkdir()
    assert len(load(source).x_train) == 4


def test_images_that_are_not_read_are_left_out_with_a_note(tmp_path: Path) -> None:
    source = divided(tmp_path)
    (tmp_path / "train/cat/1.HEIC").write_text("a phone's photo")
    (tmp_path / "test/dog/2.svg").write_text("a drawing")
    assert load(source).notes == ("left out, since not read: 2 files (.heic, .svg); save them as .jpg or .png",)


def test_a_class_of_images_that_are_not_read_is_refused_with_the_way_on(tmp_path: Path) -> None:
    source = divided(tmp_path)
    (tmp_path / "train/emu").mkdir()
    (tmp_path / "train/emu/1.heic").write_text("a phone's photo")
    with pytest.raises(DataError, match=r"emu holds no images; save its \.heic files as \.jpg or \.png"):
        load(source)


def test_a_folder_around_the_class_folders_is_refused_with_the_one_to_give(tmp_path: Path) -> None:
    for label in ("a", "b"):
        draw(tmp_path / "photos" / label / "1.png")
    with pytest.raises(DataError, match=r"photos holds no images; it holds folders: .* give folder:.*/photos"):
        load(f"folder:{tmp_path}")


def test_an_image_that_pillow_takes_for_a_bomb_is_called_too_large(tmp_path: Path) -> None:
    source = divided(tmp_path)
    Image.new("1", (20000, 20000)).save(tmp_path / "train/cat/huge.png")
    with pytest.raises(DataError, match=r"huge\.png is too large; give images of at most \d+ pixels"):
        load(source)


def test_the_pixels_of_an_image_are_counted_before_they_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = divided(tmp_path)
    Image.new("1", (9000, 9000)).save(tmp_path / "train/cat/large.png")
    load_image, unpacked = PngImageFile.load, list[tuple[int, int]]()
    monkeypatch.setattr(PngImageFile, "load", lambda image: (unpacked.append(image.size), load_image(image))[1])
    with pytest.raises(DataError, match=r"large\.png is 9000x9000 pixels; give images of at most \d+ pixels"):
        load(source)
    assert (9000, 9000) not in unpacked


def test_another_size_is_refused_with_the_file(tmp_path: Path) -> None:
    source = divided(tmp_path)
    draw(tmp_path / "test/cat/odd.png", size=(6, 4))
    with pytest.raises(DataError, match=r"odd\.png is 6x4 pixels, .*0\.png 5x4; resize"):
        load(source)


@pytest.mark.parametrize("keep", [0, 7, 50])  # of 77 bytes; from byte 58 on all pixels are there
def test_a_broken_image_is_refused_with_the_file(keep: int, tmp_path: Path) -> None:
    source = divided(tmp_path)
    path = tmp_path / "train/dog/1.png"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"dog/1\.png is (not an image|damaged)") as caught:
        load(source)
    assert "\n" not in str(caught.value)


def test_sixteen_bit_pixels_are_refused(tmp_path: Path) -> None:
    source = divided(tmp_path, "L")
    Image.fromarray(np.full((4, 5), 1000, np.uint16)).save(tmp_path / "train/cat/0.png")
    with pytest.raises(DataError, match=r"0\.png has pixels of type I;16; save it with 8 bits"):
        load(source)


def test_classes_must_agree_between_train_and_test(tmp_path: Path) -> None:
    source = divided(tmp_path)
    draw(tmp_path / "test/bird/0.png")
    with pytest.raises(DataError, match="class bird is in only one of train/ and test/"):
        load(source)


def test_a_class_without_images_is_refused(tmp_path: Path) -> None:
    source = divided(tmp_path)
    (tmp_path / "train/emu").mkdir()
    with pytest.raises(DataError, match=r"train/emu holds no images; fill or remove it"):
        load(source)


def test_train_without_test_is_explained(tmp_path: Path) -> None:
    draw(tmp_path / "train/cat/0.png")
    with pytest.raises(DataError, match=r"train holds no images; .*DIR/test/<class>"):
        load(f"folder:{tmp_path}")


def test_too_few_images_to_split_are_refused(tmp_path: Path) -> None:
    for i in range(4):
        draw(tmp_path / "cat" / f"{i}.png")
    with pytest.raises(DataError, match=r"x_test holds no images .*at least 5"):
        load(f"folder:{tmp_path}")


def test_a_folder_of_loose_images_is_refused(tmp_path: Path) -> None:
    draw(tmp_path / "0.png")
    with pytest.raises(DataError, match="holds no class folders; put images into"):
        load(f"folder:{tmp_path}")


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(("orientation", "turned"), [(6, -1), (8, 1), (3, 2)])
def test_photos_are_turned_as_their_exif_data_say(orientation: int, turned: int, suffix: str, tmp_path: Path) -> None:
    """Pillow turns TIFF by itself, its size when it is opened and its pixels when they are read."""
    source = divided(tmp_path)
    upright = draw(tmp_path / "train/cat/0.png", value=9)
    (tmp_path / "train/cat/0.png").unlink()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(upright, -turned)))
    stored.save(tmp_path / f"train/cat/0.{suffix}", exif=exif)
    first = load(source).x_train[0]
    np.testing.assert_array_equal(first.transpose(1, 2, 0), upright)


def test_each_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, listed, given = divided(tmp_path), [], Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: listed.append(path) or given(path))
    load(source)
    assert len(listed) == len(set(listed)) == 6
