"""The stored form of a compressed weight, in NumPy."""

import math
from collections.abc import Sequence

import numpy as np


def compress(weight: np.ndarray, mask: np.ndarray, places: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The kept values of a weight [O, ...]: values float32 [places], index int32 [places], rows int32 [O + 1].

    Raises:
        ValueError: the mask keeps more than that.
    """
    positions = np.flatnonzero(mask)
    if len(positions) > places:
        raise ValueError(f"the mask keeps {len(positions)} weights, there are {places} places")
    padding = (0, places - len(positions))
    counts = np.count_nonzero(mask.reshape(mask.shape[0], -1), axis=1)
    return (
        np.pad(weight.reshape(-1)[positions], padding).astype(np.float32),
        np.pad(positions, padding).astype(np.int32),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
    )


def decompress(
    values: np.ndarray, index: np.ndarray, rows: np.ndarray, shape: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The weight and its 0/1 mask, float32 of the full shape."""
    live = int(rows[-1])
    weight, mask = np.zeros(math.prod(shape), np.float32), np.zeros(math.prod(shape), np.float32)
    weight[index[:live]], mask[index[:live]] = values[:live], 1.0
    return weight.reshape(shape), mask.reshape(shape)
