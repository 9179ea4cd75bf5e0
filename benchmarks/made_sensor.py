"""Windows of a made-up motion sensor: ``python -m benchmarks.made_sensor -o build/sensor.npz``.

Ten activities, 100 windows of each for training and 50 for testing, three axes of 64 samples. An activity has two
harmonics of its own on each axis and a direction of gravity; a window has its own speed, loudness, phase, tilt and
drift, and noise. The same seed gives the same file on every machine, up to the last bit of NumPy's sine.
"""

from pathlib import Path

import click
import numpy as np

CLASSES, AXES, LENGTH, HARMONICS = 10, 3, 64, 2
RATE = 32.0
"""Samples a second."""
TRAIN, TEST = 100, 50
"""Windows of each activity."""
NOISE, TILT, DRIFT = 1.0, 0.2, 0.3
"""Deviations: of a sample, of a window's gravity, and of how far the gravity drifts over a window."""

Samples = tuple[np.ndarray, np.ndarray]


def activities(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What tells the activities apart.

    Args:
        seed: of the draw.

    Returns:
        frequencies in hertz [classes, harmonics], sizes [classes, axes, harmonics] and gravity [classes, axes, 1].
    """
    random = np.random.default_rng(seed)
    frequency = random.uniform(0.8, 8.0, (CLASSES, HARMONICS))
    size = random.uniform(0.2, 1.2, (CLASSES, AXES, HARMONICS))
    return frequency, size, 0.3 * random.normal(size=(CLASSES, AXES, 1))


def windows(count: int, seed: int, activity_seed: int = 0) -> Samples:
    """So many windows of each activity.

    Args:
        count: of each activity.
        seed: of the windows.
        activity_seed: of the activities.

    Returns:
        x float32 [N, axes, length] and y int64 [N], activity by activity.
    """
    random, (frequency, size, gravity) = np.random.default_rng(seed), activities(activity_seed)
    y = np.repeat(np.arange(CLASSES), count)
    time = np.linspace(0.0, LENGTH / RATE, LENGTH, endpoint=False)
    speed = random.normal(1.0, 0.08, (len(y), 1, 1, 1))
    phase = random.uniform(0.0, 2.0 * np.pi, (len(y), 1, HARMONICS, 1)) + 0.7 * np.arange(AXES)[:, None, None]
    waves = np.sin(2.0 * np.pi * frequency[y][:, None, :, None] * speed * time + phase)
    loud = random.normal(1.0, 0.2, (len(y), 1, 1))
    moved = loud * (size[y][..., None] * waves).sum(axis=2)
    tilt = TILT * random.normal(size=(len(y), AXES, 1))
    drift = DRIFT * random.normal(size=(len(y), AXES, 1)) * np.linspace(-0.5, 0.5, LENGTH)
    noise = NOISE * random.normal(size=(len(y), AXES, LENGTH))
    return (moved + gravity[y] + tilt + drift + noise).astype(np.float32), y.astype(np.int64)


@click.command()
@click.option("-o", "--output", type=click.Path(dir_okay=False, writable=True, path_type=Path), required=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of activities and windows.")
def main(output: Path, seed: int) -> None:
    """Write training and test windows as a source for ``--data npz:FILE``."""
    (x_train, y_train), (x_test, y_test) = windows(TRAIN, seed + 1, seed), windows(TEST, seed + 2, seed)
    output.parent.mkdir(parents=True, exist_ok=True)
    np.savez(output, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    click.echo(f"{output}: {len(y_train)} windows for training, {len(y_test)} for testing")


if __name__ == "__main__":
    main()
