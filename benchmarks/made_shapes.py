"""Made-up images of shapes: ``python -m benchmarks.made_shapes -o build/shapes``.

Ten shapes of 28x28 grey pixels, 120 of each for training and 60 for testing: ``easy.npz``, white on black under weak
noise, and ``noisy.npz``, the same at a third of the contrast under noise stronger than it. A shape has its own place,
size and turn in each image. The same seed gives the same file on every machine, up to the last bit of NumPy's sine.
"""

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

CLASSES, SIDE = 10, 28
TRAIN, TEST = 120, 60
"""Images of each shape."""
WIDTH = 1.5
"""Half of a line's, in pixels."""
NOISE = 25.0
CONTRAST, GREY, STRONG_NOISE = 0.35, 90.0, 55.0

Images = NDArray[np.float64]
Samples = tuple[NDArray[np.uint8], NDArray[np.int64]]


def shapes(u: Images, v: Images, size: float) -> Sequence[NDArray[np.bool_]]:
    """Where each shape of this size is, by coordinates from its middle.

    Args:
        u: to the right, [SIDE, SIDE].
        v: downwards, likewise.
        size: half of the shape's, in pixels.
    """
    round_, square, diamond = np.hypot(u, v), np.maximum(abs(u), abs(v)), abs(u) + abs(v)
    diagonals = (abs(u - v) < 1.4 * WIDTH) | (abs(u + v) < 1.4 * WIDTH)
    return (
        abs(round_ - size) < WIDTH,
        round_ < size,
        (square < size) & (square > size - 2.0 * WIDTH),
        square < 0.9 * size,
        (square < size) & ((abs(u) < WIDTH) | (abs(v) < WIDTH)),
        (abs(u) < size) & diagonals,
        (abs(v) < size) & (abs(u) < (v + size) / 2.0),
        (abs(u) < size) & (abs(abs(v) - 0.5 * size) < WIDTH),
        (abs(v) < size) & (abs(abs(u) - 0.5 * size) < WIDTH),
        abs(diamond - size) < WIDTH,
    )


def images(count: int, seed: int) -> tuple[Images, NDArray[np.int64]]:
    """So many images of each shape.

    Args:
        count: of each shape.
        seed: of the images.

    Returns:
        x in 0 to 255 and beyond, [N, 28, 28], and y [N], shape by shape.
    """
    random, y = np.random.default_rng(seed), np.repeat(np.arange(CLASSES), count)
    down, right = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    x = np.zeros((len(y), SIDE, SIDE))
    for image, label in zip(x, y, strict=True):
        (across, along), size, turn = random.uniform(10, 18, 2), random.uniform(5, 9), random.uniform(-0.3, 0.3)
        u = (right - across) * np.cos(turn) + (down - along) * np.sin(turn)
        v = (down - along) * np.cos(turn) - (right - across) * np.sin(turn)
        image[shapes(u, v, size)[label]] = random.uniform(120, 255)
        image += NOISE * random.normal(size=image.shape)
    return x, y


def easy(count: int, seed: int) -> Samples:
    """Images as they are, uint8."""
    x, y = images(count, seed)
    return _as_bytes(x), y


def noisy(count: int, seed: int) -> Samples:
    """Images of little contrast under strong noise, uint8."""
    x, y = images(count, seed)
    noise = STRONG_NOISE * np.random.default_rng([seed, 1]).normal(size=x.shape)
    return _as_bytes(CONTRAST * np.clip(x, 0, 255) + GREY + noise), y


def _as_bytes(x: Images) -> NDArray[np.uint8]:
    return np.clip(x, 0, 255).astype(np.uint8)


@click.command()
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True)
def main(output: Path) -> None:
    """Write both data sets as OUTPUT/NAME.npz."""
    output.mkdir(parents=True, exist_ok=True)
    for name, make in (("easy", easy), ("noisy", noisy)):
        (x_train, y_train), (x_test, y_test) = make(TRAIN, 1), make(TEST, 2)
        np.savez(output / f"{name}.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
        click.echo(f"{output / name}.npz: {x_train.shape}, {len(y_test)} for testing")


if __name__ == "__main__":
    main()
