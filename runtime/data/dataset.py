"""The one form that every data source takes."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from sparcl_compile.runtime.data import checks

Augment = Literal["crop_flip", "none"]
Split = tuple[np.ndarray, np.ndarray]
"""Samples and their labels."""

CHUNK = 1024
"""Samples that are widened to float64 at a time: CIFAR-10 as a whole would take 1.2 GB."""
STD_FLOOR = 0.01
"""Least standard deviation of a channel, as a share of all channels' root mean square."""

RESOLUTION = float(np.finfo(np.float32).eps)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A classification data set, held in memory as read.

    Attributes:
        name: the source as the user gave it, for messages.
        x_train: uint8 or float32 [N, C, H, W], raw values; vectors of D features are [N, D, 1, 1].
        y_train: int64 [N], values from 0 to len(classes) - 1.
        x_test: as x_train.
        y_test: as y_train.
        classes: the classes' names.
        mean: float32 [C], in units of ``x / scale``.
        std: float32 [C], in units of ``x / scale``, above 0.
        augment: what training batches go through unless the user asks otherwise.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray
    augment: Augment = "none"

    @property
    def scale(self) -> float:
        """What raw values are divided by before ``mean`` and ``std`` apply: 255 for uint8, 1 for float32."""
        return scale_of(self.x_train)

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one sample."""
        channels, height, width = self.x_train.shape[1:]
        return channels, height, width

    def graph_mean(self) -> np.ndarray:
        """The mean, float32 [C], for the graphs' formula ``(x / 255 - mean) / std``, whatever the dtype of x."""
        return (self.mean * (self.scale / 255.0)).astype(np.float32)

    def graph_std(self) -> np.ndarray:
        """The standard deviation, float32 [C], for the graphs' formula ``(x / 255 - mean) / std``."""
        return (self.std * (self.scale / 255.0)).astype(np.float32)


def build(
    name: str,
    train: Split,
    test: Split,
    classes: Sequence[str] | None = None,
    augment: Augment = "none",
    statistics: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Dataset:
    """Check what a source read and make a data set of it.

    Args:
        name: the source as the user gave it.
        train: images [N, C, H, W] (uint8 or floating) and labels [N] or [N, 1] (any integer type).
        test: the same for the test set.
        classes: the classes' names; without them the labels are the names.
        augment: the default augmentation.
        statistics: known mean and standard deviation per channel; without them they come from the training images.

    Raises:
        DataError: the arrays do not make a data set; the message names the array and the mend.
    """
    x_train, x_test = checks.images(name, "x_train", train[0]), checks.images(name, "x_test", test[0])
    checks.same_form(name, x_train, x_test)
    y_train = checks.labels(name, "y_train", train[1], len(x_train))
    y_test = checks.labels(name, "y_test", test[1], len(x_test))
    names = tuple(classes) if classes is not None else checks.numbered_classes(name, y_train, y_test)
    checks.classes_filled(name, y_train, y_test, names)
    mean, std = statistics or channel_statistics(x_train)
    return Dataset(
        name=name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=names,
        mean=np.asarray(mean, np.float32),
        std=np.asarray(std, np.float32),
        augment=augment,
    )


def scale_of(x: np.ndarray) -> float:
    """255 for uint8 images, 1 for float values, which are taken as they are."""
    return 255.0 if x.dtype == np.uint8 else 1.0


def channel_statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population standard deviation per channel of x / scale, summed in float64.

    A channel that hardly varies gets ``STD_FLOOR`` times the root mean square of all channels' deviations,
    or 1 when none varies beyond float32's resolution: a feature that first varies in the test set must not explode.

    Args:
        x: uint8 or float32 [N, C, H, W].

    Returns:
        mean: float64 [C].
        std: float64 [C], above 0.
    """
    chunks = [x[start : start + CHUNK] for start in range(0, len(x), CHUNK)]
    count = x.size // x.shape[1]
    mean = sum(chunk.sum(axis=(0, 2, 3), dtype=np.float64) for chunk in chunks) / count
    centre = np.reshape(mean, (1, -1, 1, 1))
    variance = sum(((chunk - centre) ** 2).sum(axis=(0, 2, 3)) for chunk in chunks) / count
    scale = scale_of(x)
    std = np.sqrt(variance) / scale
    spread = float(np.sqrt(np.mean(std**2)))
    varies = spread > RESOLUTION * float(np.abs(mean).max()) / scale
    return np.asarray(mean) / scale, np.maximum(std, STD_FLOOR * spread) if varies else np.ones_like(std)
