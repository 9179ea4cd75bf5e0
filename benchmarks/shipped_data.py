"""Real data that packages ship, as files for ``npz:FILE``: ``python -m benchmarks.shipped_data -o build/shipped``.

| file | what | from |
|---|---|---|
| `digits28`, `digits8` | 5,000 images of MNIST, the second shrunk to 8x8 | mlxtend |
| `speakers` | two vowels by nine speakers, 12 cepstral coefficients a frame: Japanese Vowels | aeon |
| `letters` | 16 features of a printed letter, 8,000 of the 20,000 | mlbench |
| `soil` | six soils on a satellite's image, 3x3 pixels in four bands | mlbench |

mlxtend, aeon and rdata come from PyPI; mlbench is a package of R, whose files are read without R: ``--mlbench FOLDER``
is its folder ``data``.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import numpy as np

FRAMES = 28
"""Frames of an utterance of a speaker; the longest has 29, shorter ones end in zeros."""
LETTERS = 8000
SHARE_OF_TEST = 0.25

Samples = tuple[np.ndarray, np.ndarray]
Parts = tuple[Samples, Samples]


def split(x: np.ndarray, y: np.ndarray, test: int) -> Parts:
    """Training and test samples in one random order, the same each time; the last ``test`` ones are for testing."""
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype(np.float32), y[order].astype(np.int64)
    return (x[:-test], y[:-test]), (x[-test:], y[-test:])


def standardised(parts: Parts, axes: tuple[int, ...]) -> Parts:
    """Both parts with the mean and the deviation over ``axes`` of the training samples taken out."""
    (x_train, y_train), (x_test, y_test) = parts
    mean, deviation = x_train.mean(axis=axes, keepdims=True), x_train.std(axis=axes, keepdims=True)
    return ((x_train - mean) / deviation, y_train), ((x_test - mean) / deviation, y_test)


def digits(side: int) -> Parts:
    """MNIST [N, 1, side, side] in 0 to 1; 8 takes the middle 24 pixels and means of 3x3."""
    from mlxtend.data import mnist_data

    pixels, y = mnist_data()
    x = pixels.reshape(-1, 1, 28, 28) / 255.0
    if side == 8:
        x = x[:, :, 2:26, 2:26].reshape(-1, 1, 8, 3, 8, 3).mean(axis=(3, 5))
    return split(x, y, test=1000)


def speakers() -> Parts:
    """Utterances [N, 12, FRAMES], with the package's own 270 for training and 370 for testing."""
    from aeon.datasets import load_japanese_vowels

    def part(name: str) -> Samples:
        series, labels = load_japanese_vowels(split=name)
        x = np.zeros((len(series), 12, FRAMES), np.float32)
        for row, utterance in zip(x, series, strict=True):
            frames = utterance[:, ~np.isnan(utterance).any(axis=0)][:, :FRAMES]
            row[:, : frames.shape[1]] = frames
        return x, np.asarray(labels).astype(np.int64) - 1

    return standardised((part("train"), part("test")), axes=(0, 2))


def table(folder: Path, name: str, label: str) -> Samples:
    """The features [N, features] and the classes, numbered by their names, of a data set of mlbench."""
    import rdata

    (frame,) = rdata.read_rda(folder / f"{name}.rda", default_encoding="ascii").values()
    _, y = np.unique(frame[label].astype(str), return_inverse=True)
    return frame.drop(columns=label).to_numpy(np.float64), y


def letters(folder: Path) -> Parts:
    """Letters: 26 classes."""
    x, y = table(folder, "LetterRecognition", "lettr")
    return standardised(split(x[:LETTERS], y[:LETTERS], test=round(SHARE_OF_TEST * LETTERS)), axes=(0,))


def soil(folder: Path) -> Parts:
    """Soils: six classes."""
    x, y = table(folder, "Satellite", "classes")
    return standardised(split(x, y, test=round(SHARE_OF_TEST * len(x))), axes=(0,))


@click.command()
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option(
    "--mlbench",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Its data; else no letters, no soil.",
)
def main(output: Path, mlbench: Path | None) -> None:
    """Write each data set as OUTPUT/NAME.npz."""
    sets: dict[str, Callable[[], Parts]] = {
        "digits28": partial(digits, 28),
        "digits8": partial(digits, 8),
        "speakers": speakers,
    }
    if mlbench is not None:
        sets |= {"letters": partial(letters, mlbench), "soil": partial(soil, mlbench)}
    output.mkdir(parents=True, exist_ok=True)
    for name, parts in sets.items():
        (x_train, y_train), (x_test, y_test) = parts()
        np.savez(output / f"{name}.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
        click.echo(f"{output / name}.npz: {x_train.shape}, {len(y_test)} for testing, {y_train.max() + 1} classes")


if __name__ == "__main__":
    main()
