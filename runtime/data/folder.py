"""Image folders: ``DIR/train/<class>/*`` with ``DIR/test/<class>/*``, or ``DIR/<class>/*``, every fifth for testing.

``val``, ``valid`` and ``validation`` do for ``test`` where that is missing.
"""

import dataclasses
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, TiffImagePlugin

from sparcl_compile.interface.errors import DataError
from sparcl_compile.interface.files import check_plain
from sparcl_compile.interface.manifest import Model
from sparcl_compile.runtime.data import split
from sparcl_compile.runtime.data.dataset import Dataset, Split, build

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
)
GREY = frozenset(("1", "L", "LA"))
COLOUR = frozenset(("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"))
TESTS = ("test", "val", "valid", "validation")
"""The folder of the test images: the first that is there."""
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error)
"""Exceptions that Pillow raises for a damaged file, depending on its format."""
PHOTOS = frozenset((".heic", ".heif", ".avif", ".svg", ".dng", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".tga", ".psd"))
"""Suffixes of images that are not read: a run says that they were left out."""
MODES = {1: "L", 3: "RGB"}
"""Pillow's mode by the number of channels."""
SIDEWAYS = (5, 6, 7, 8)
"""Orientations of Exif under which an image is stored on its side, as phones store photos that are taken upright."""
Size = tuple[int, int]
"""Width and height."""
Form = tuple[str, Size]
Wanted = tuple[str, Size]
MOST_PIXELS = 2**26
"""The pixels of an image are counted before they are unpacked: a small file may hold gigabytes of one colour."""
LAYOUT = "put images into DIR/train/<class>/ and DIR/test/<class>/, or into DIR/<class>/"


@dataclasses.dataclass(frozen=True, eq=False)
class Listed:
    """What the class folders of a folder hold.

    Attributes:
        classes: their names.
        files: the images, folder by folder.
        labels: the class of each, int64.
        unread: the suffixes of images that are not read.
    """

    classes: list[str]
    files: list[Path]
    labels: np.ndarray
    unread: list[str]


def load(source: str, path: Path, model: Model | None = None) -> Dataset:
    """Read an image folder with Pillow.

    Classes are the folders' names, sorted; images are taken in the order of their names; hidden files and other
    suffixes than an image's are passed over, those of images that are not read with a note. Images take the size and
    the number of channels of the model's input where that says them. Else all must have one size, and when all are grey
    there is one channel, otherwise all become RGB. Transparency is dropped, and a photo is turned as its Exif data say.
    Training crops and flips images of colours.

    Raises:
        DataError: no images, a damaged one, one of another size where the model says none, or classes that differ
            between train and test.
        OSError: a folder cannot be read.
    """
    if not path.is_dir():
        raise DataError(f"{source}: {path} is not a folder; {LAYOUT}")
    tests = next((name for name in TESTS if (path / name).is_dir()), None)
    wanted = _wanted(model)
    if (path / "train").is_dir() and tests:
        return _divided(source, path, tests, wanted)
    found = _list(source, path)
    x, notes = _read(source, found.files, wanted)
    train, test = split.stratified(x, found.labels)
    return _build(source, train, test, found.classes, notes + _left_out(found.unread))


def _wanted(model: Model | None) -> Wanted | None:
    """The mode and the size of images that a model takes; None where its input does not say them."""
    if model is None or model.layout not in ("NCHW", "NHWC") or len(model.input_shape) != 3:
        return None
    channels_last = model.layout == "NHWC"
    channels, height, width = model.input_shape[-1:] + model.input_shape[:-1] if channels_last else model.input_shape
    mode = MODES.get(channels or 0)
    return (mode, (width, height)) if mode and height and width else None


def _divided(source: str, path: Path, tests: str, wanted: Wanted | None) -> Dataset:
    train, test = (_list(source, path / part) for part in ("train", tests))
    if train.classes != test.classes:
        lone = min(set(train.classes) ^ set(test.classes))
        raise DataError(
            f"{source}: class {lone} is in only one of train/ and {tests}/; give both the same class folders"
        )
    x, notes = _read(source, [*train.files, *test.files], wanted)
    count, notes = len(train.files), notes + _left_out([*train.unread, *test.unread])
    return _build(source, (x[:count], train.labels), (x[count:], test.labels), train.classes, notes)


def _build(source: str, train: Split, test: Split, classes: Sequence[str], notes: Sequence[str]) -> Dataset:
    colour = train[0].shape[1] == 3
    return build(source, train, test, classes, "crop_flip" if colour else "none", notes=notes)


def _list(source: str, path: Path) -> Listed:
    """What the class folders hold; raises DataError where there are none, or one has no images."""
    folders = [entry for entry in _entries(path) if entry.is_dir()]
    if not folders:
        raise DataError(f"{source}: {path} holds no class folders; {LAYOUT}")
    files: list[Path] = []
    labels: list[int] = []
    unread: list[str] = []
    for label, folder in enumerate(folders):
        inner = _entries(folder)
        images = [entry for entry in inner if entry.suffix.lower() in SUFFIXES]
        if not images:
            raise DataError(f"{source}: the class folder {folder} holds no images; {_mend(folder, inner)} ({LAYOUT})")
        files += images
        labels += [label] * len(images)
        unread += [entry.suffix.lower() for entry in inner if entry.suffix.lower() in PHOTOS]
    return Listed([folder.name for folder in folders], files, np.array(labels, np.int64), unread)


def _entries(path: Path) -> list[Path]:
    """What a folder holds, hidden files apart, by name."""
    return sorted((entry for entry in path.iterdir() if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _mend(folder: Path, inner: Sequence[Path]) -> str:
    """The way on from a class folder without images, by what it holds in their place."""
    photos = sorted({entry.suffix.lower() for entry in inner} & PHOTOS)
    if photos:
        return f"save its {' and '.join(photos)} files as .jpg or .png"
    if any(entry.is_dir() for entry in inner):
        return f"it holds folders: if those are the classes, give folder:{folder}"
    return "fill or remove it"


def _left_out(unread: Sequence[str]) -> list[str]:
    """The line about images in formats that are not read, by their suffixes; none where there is no such one."""
    each = ", ".join(sorted(set(unread)))
    return [f"left out, since not read: {len(unread)} files ({each}); save them as .jpg or .png"] if unread else []


def _read(source: str, files: Sequence[Path], wanted: Wanted | None) -> tuple[np.ndarray, list[str]]:
    """All images as uint8 [N, C, H, W], and what was changed for that."""
    forms = [_form(source, file) for file in files]
    mode, size = wanted or _common(source, files, forms)
    width, height = size
    x = np.empty((len(files), 1 if mode == "L" else 3, height, width), np.uint8)
    for image, file in zip(x, files, strict=True):
        image[:] = _pixels(source, file, mode, size)
    return x, _notes(forms, mode, size) if wanted else []


def _common(source: str, files: Sequence[Path], forms: Sequence[Form]) -> Wanted:
    size = forms[0][1]
    for file, (_, other) in zip(files, forms, strict=True):
        if other != size:
            raise DataError(
                f"{source}: {file} is {_by(other)} pixels, {files[0]} {_by(size)}; resize the images to one size"
            )
    return "L" if all(mode in GREY for mode, _ in forms) else "RGB", size


def _notes(forms: Sequence[Form], mode: str, size: Size) -> list[str]:
    """What was changed, one line for the sizes and one for the colours."""
    resized = sum(other != size for _, other in forms)
    recoloured = sum((own in GREY) != (mode == "L") for own, _ in forms)
    made = "grey" if mode == "L" else "RGB"
    lines = (
        (resized, f"{resized} of {len(forms)} images resized to the model's {_by(size)} pixels"),
        (recoloured, f"{recoloured} of {len(forms)} images made {made}, as the model takes them"),
    )
    return [line for count, line in lines if count]


def _form(source: str, file: Path) -> Form:
    check_plain(file)
    try:
        with Image.open(file) as image:
            _check_few_pixels(source, file, image.size)  # first: Exif data behind a PNG's pixels unpack these
            mode, size = image.mode, _upright(image)
    except Image.DecompressionBombError as error:
        raise DataError(f"{source}: {file} is too large; give images of at most {MOST_PIXELS} pixels") from error
    except BROKEN as error:
        raise DataError(f"{source}: {file} is not an image that Pillow reads; replace or remove it") from error
    if mode not in GREY | COLOUR:
        raise DataError(f"{source}: {file} has pixels of type {mode}; save it with 8 bits a channel")
    return mode, size


def _check_few_pixels(source: str, file: Path, size: Size) -> None:
    if size[0] * size[1] > MOST_PIXELS:
        raise DataError(f"{source}: {file} is {_by(size)} pixels; give images of at most {MOST_PIXELS} pixels")


def _upright(image: ImageFile.ImageFile) -> Size:
    """The size of an image when it is turned as its Exif data say."""
    width, height = image.size
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # newer versions of Pillow turn its size, but not the tag
        width, height = (int(image.tag_v2[tag]) for tag in (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength))
    sideways = image.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS
    return (height, width) if sideways else (width, height)


def _pixels(source: str, file: Path, mode: str, size: Size) -> np.ndarray:
    try:
        with Image.open(file) as image:
            converted = ImageOps.exif_transpose(image).convert(mode)
            same = converted.size == size
            pixels = np.asarray(converted if same else converted.resize(size, Image.Resampling.BILINEAR))
    except BROKEN as error:
        raise DataError(f"{source}: {file} is damaged or cut short; replace or remove it") from error
    return pixels[np.newaxis] if mode == "L" else pixels.transpose(2, 0, 1)


def _by(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
