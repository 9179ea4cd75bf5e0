"""Image folders: ``DIR/train/<class>/*`` with ``DIR/test/<class>/*``, or ``DIR/<class>/*``, every fifth for testing."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sparcl_compile.interface.errors import DataError
from sparcl_compile.interface.files import check_plain
from sparcl_compile.runtime.data import split
from sparcl_compile.runtime.data.dataset import Dataset, Split, build

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))
GREY = frozenset(("1", "L", "LA"))
COLOUR = frozenset(("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"))
BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""Exceptions that Pillow raises for a damaged file, depending on its format."""
MOST_PIXELS = 2**26
"""The pixels of an image are counted before they are unpacked: a small file may hold gigabytes of one colour."""
LAYOUT = "put images into DIR/train/<class>/ and DIR/test/<class>/, or into DIR/<class>/"


def load(source: str, path: Path) -> Dataset:
    """Read an image folder with Pillow.

    Classes are the folders' names, sorted; images are taken in the order of their names; hidden files and other
    suffixes than an image's are passed over. When all images are grey there is one channel, otherwise all become RGB
    (transparency is dropped) and training crops and flips.

    Raises:
        DataError: no images, a damaged one, one of another size, or classes that differ between train and test.
        OSError: a folder cannot be read.
    """
    if not path.is_dir():
        raise DataError(f"{source}: {path} is not a folder; {LAYOUT}")
    if (path / "train").is_dir() and (path / "test").is_dir():
        return _divided(source, path)
    classes, files, labels = _list(source, path)
    train, test = split.stratified(_read(source, files), labels)
    return _build(source, train, test, classes)


def _divided(source: str, path: Path) -> Dataset:
    classes, train_files, train_labels = _list(source, path / "train")
    test_classes, test_files, test_labels = _list(source, path / "test")
    if classes != test_classes:
        lone = min(set(classes) ^ set(test_classes))
        raise DataError(f"{source}: class {lone} is in only one of train/ and test/; give both the same class folders")
    x = _read(source, [*train_files, *test_files])
    count = len(train_files)
    return _build(source, (x[:count], train_labels), (x[count:], test_labels), classes)


def _build(source: str, train: Split, test: Split, classes: Sequence[str]) -> Dataset:
    colour = train[0].shape[1] == 3
    return build(source, train, test, classes, "crop_flip" if colour else "none")


def _list(source: str, path: Path) -> tuple[list[str], list[Path], np.ndarray]:
    """Class names, image files and their labels."""
    folders = sorted((entry for entry in path.iterdir() if _visible(entry) and entry.is_dir()), key=lambda f: f.name)
    if not folders:
        raise DataError(f"{source}: {path} holds no class folders; {LAYOUT}")
    files: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        images = sorted(
            (f for f in folder.iterdir() if _visible(f) and f.suffix.lower() in SUFFIXES), key=lambda f: f.name
        )
        if not images:
            raise DataError(f"{source}: the class folder {folder} holds no images; fill or remove it ({LAYOUT})")
        files += images
        labels += [label] * len(images)
    return [folder.name for folder in folders], files, np.array(labels, np.int64)


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")


def _read(source: str, files: Sequence[Path]) -> np.ndarray:
    """All images as uint8 [N, C, H, W]."""
    forms = [_form(source, file) for file in files]
    size = forms[0][1]
    for file, (_, other) in zip(files, forms, strict=True):
        if other != size:
            raise DataError(
                f"{source}: {file} is {_by(other)} pixels, {files[0]} {_by(size)}; resize the images to one size"
            )
    mode = "L" if all(mode in GREY for mode, _ in forms) else "RGB"
    width, height = size
    x = np.empty((len(files), 1 if mode == "L" else 3, height, width), np.uint8)
    for image, file in zip(x, files, strict=True):
        image[:] = _pixels(source, file, mode)
    return x


def _form(source: str, file: Path) -> tuple[str, tuple[int, int]]:
    check_plain(file)
    try:
        with Image.open(file) as image:
            mode, size = image.mode, image.size
    except BROKEN as error:
        raise DataError(f"{source}: {file} is not an image that Pillow reads; replace or remove it") from error
    if mode not in GREY | COLOUR:
        raise DataError(f"{source}: {file} has pixels of type {mode}; save it with 8 bits a channel")
    if size[0] * size[1] > MOST_PIXELS:
        raise DataError(f"{source}: {file} is {_by(size)} pixels; give images of at most {MOST_PIXELS} pixels")
    return mode, size


def _pixels(source: str, file: Path, mode: str) -> np.ndarray:
    try:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert(mode))
    except BROKEN as error:
        raise DataError(f"{source}: {file} is damaged or cut short; replace or remove it") from error
    return pixels[np.newaxis] if mode == "L" else pixels.transpose(2, 0, 1)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
