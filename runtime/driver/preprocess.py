"""Raw samples to what the model takes, by the graphs ``augment`` and ``normalise``."""

from typing import Any

import numpy as np

from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.data.dataset import Dataset
from sparcl_compile.runtime.session.engine import Engine


class Preprocessor:
    """Augmentation and normalisation of one data set for one model."""

    def __init__(self, engine: Engine, dataset: Dataset, config: RunConfig, layout: str) -> None:
        self._engine = engine
        self._seed = config.seed
        self._augment = (dataset.augment if config.augment == "auto" else config.augment) == "crop_flip"
        self._mean, self._std = _statistics(dataset, config.normalise)
        self._scale = 1.0 if config.normalise == "raw" else dataset.scale

    def training(self, x: np.ndarray, step: int, draw: int) -> np.ndarray:
        """A training batch: raw [N, C, H, W] to the model's input, augmented when the data ask for it."""
        if not self._augment:
            return self.plain(x)
        key = np.array([self._seed, step, draw], np.int64)
        feeds = {"x": x.astype(np.float32), "key": key, "mean": self._mean, "std": self._std}
        return self._engine.run("augment", feeds)["x_ready"]

    def plain(self, x: np.ndarray) -> np.ndarray:
        """A batch without augmentation."""
        feeds = {"x": x.astype(np.float32), "mean": self._mean, "std": self._std}
        return self._engine.run("normalise", feeds)["x_ready"]

    def facts(self) -> dict[str, Any]:
        """What was done to a raw sample, for those who run the model elsewhere: ``(x / scale - mean) / std``."""
        unit = 255.0 / self._scale
        mean, std = (np.asarray(array, np.float64) * unit for array in (self._mean, self._std))
        return {"scale": self._scale, "mean": mean.tolist(), "std": std.tolist()}


def _statistics(dataset: Dataset, normalise: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation for ``(x / 255 - mean) / std``; ``raw`` leaves the values as they are."""
    channels = dataset.x_train.shape[1]
    if normalise == "raw":
        return np.zeros(channels, np.float32), np.full(channels, 1 / 255, np.float32)
    if normalise == "unit":
        return np.zeros(channels, np.float32), np.full(channels, dataset.scale / 255, np.float32)
    return dataset.graph_mean(), dataset.graph_std()
