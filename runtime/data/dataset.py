"""The form of the data that every source returns."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.runtime.data import checks

Augment = Literal["crop_flip", "none"]
Split = tuple[np.ndarray, np.ndarray]
"""Samples and their labels."""

Statistics = tuple[np.ndarray, np.ndarray]
"""Mean and standard deviation, float32 [C], for the graphs' formula ``(x / 255 - mean) / std``."""
PIXEL_MAX = 255.0


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
        statistics: known mean and standard deviation of the training images; None where they are to be computed.
        augment: default augmentation of training batches.
        raw: whether samples are fed as they are unless the user says otherwise.
        tokens: whether they are places in a table, which can be neither scaled nor cropped.
        notes: what was changed or guessed in reading, one line each, for the user.
        held: how many of the source's training samples are held out as test set.
        guess: which column was taken for the label, where its name does not say it; for messages.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]
    statistics: Statistics | None = None
    augment: Augment = "none"
    raw: bool = False
    tokens: bool = False
    notes: tuple[str, ...] = ()
    held: int = 0
    guess: str = ""

    @property
    def training_samples(self) -> int:
        """Training samples of the source, those that are held out included.

        A run takes its batch size by them, so that a trial has the one of the run that it chooses for.
        """
        return len(self.x_train) + self.held

    @property
    def told_classes(self) -> str:
        """How many classes the source has, for a refusal, and by which guess."""
        return f"{self.name} has {len(self.classes)} classes" + (f" ({self.guess})" if self.guess else "")

    @property
    def scale(self) -> float:
        """The divisor of raw values, before ``mean`` and ``std`` apply: 255 for uint8, 1 for float32."""
        return scale_of(self.x_train)

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one sample."""
        channels, height, width = self.x_train.shape[1:]
        return channels, height, width

    def augments(self, wanted: str) -> bool:
        """Whether training batches are changed at random; ``auto`` leaves it to the data."""
        if wanted == "crop_flip" and self.tokens:
            raise FieldError("augment", wanted, "is for images, and the model takes tokens", "leave it out")
        return (self.augment if wanted == "auto" else wanted) != "none"

    def divisor(self, normalise: str) -> float:
        """The divisor of raw values, before mean and deviation apply: 1 under ``raw``."""
        return 1.0 if self._is_raw(normalise) else self.scale

    def _is_raw(self, normalise: str) -> bool:
        return normalise == "raw" or (normalise == "auto" and self.raw)

    def fingerprint(self) -> str:
        """Return a checksum of all samples and labels."""
        digest = hashlib.sha256()
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def formula(self, normalise: str, mean: np.ndarray, std: np.ndarray) -> dict[str, Any]:
        """Return ``scale``, ``mean``, ``std`` of ``(x / scale - mean) / std``, to run the model elsewhere.

        Args:
            normalise: how the run normalises.
            mean: float32 [C], for the graphs' formula, which divides by 255 whatever the scale.
            std: the same.
        """
        scale = self.divisor(normalise)
        each = {"mean": mean, "std": std}
        numbers = {name: (np.asarray(one, np.float64) * (PIXEL_MAX / scale)).tolist() for name, one in each.items()}
        return {"scale": scale, **numbers}

    def known_statistics(self, normalise: str) -> Statistics | None:
        """Mean and deviation that need no samples: 0 and 1 under ``raw`` and ``unit``; None where they are computed.

        Raises:
            FieldError: bytes are to be scaled for a model that scales them itself.
        """
        if normalise == "auto" and not self.raw:
            return self.statistics
        if normalise == "unit" and self.raw and self.scale != 1.0:
            raise FieldError("normalise", normalise, "the model was made for values as they are", "leave it out")
        channels = self.x_train.shape[1]
        return np.zeros(channels, np.float32), np.full(channels, self.divisor(normalise) / PIXEL_MAX, np.float32)


def build(
    name: str,
    train: Split,
    test: Split,
    classes: Sequence[str] | None = None,
    augment: Augment = "none",
    statistics: tuple[Sequence[float], Sequence[float]] | None = None,
    notes: Sequence[str] = (),
) -> Dataset:
    """Check the arrays of a source and make a data set of them.

    Args:
        name: the source as the user gave it.
        train: images [N, C, H, W] (uint8 or floating) and labels [N] or [N, 1] (any integer type).
        test: the same for the test set.
        classes: the classes' names; without them the labels are the names.
        augment: the default augmentation.
        statistics: known mean and standard deviation per channel of 8-bit images, in units of ``x / 255``.
        notes: what was changed or guessed in reading.

    Raises:
        DataError: the arrays do not make a data set; the message names the array and the fix.
    """
    x_train, x_test = checks.images(name, "x_train", train[0]), checks.images(name, "x_test", test[0])
    checks.same_form(name, x_train, x_test)
    y_train = checks.labels(name, "y_train", train[1], len(x_train))
    y_test = checks.labels(name, "y_test", test[1], len(x_test))
    names = tuple(classes) if classes is not None else checks.numbered_classes(name, y_train, y_test)
    checks.classes_filled(name, y_train, y_test, names)
    known = statistics and (np.asarray(statistics[0], np.float32), np.asarray(statistics[1], np.float32))
    return Dataset(
        name=name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=names,
        statistics=known,
        augment=augment,
        notes=tuple(notes),
    )


def scale_of(x: np.ndarray) -> float:
    """The divisor of raw values: 255 for uint8 images, 1 for float values, which are taken as they are."""
    return 255.0 if x.dtype == np.uint8 else 1.0
