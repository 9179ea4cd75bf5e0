"""Mean and deviation of the samples of a data set, in two passes over float64 values."""

import numpy as np
from numpy.typing import NDArray

STD_FLOOR = 0.01
"""Least standard deviation of a channel, as a share of the median of those that vary."""
RESOLUTION = float(np.finfo(np.float32).eps)
CHUNK = 1000

Float64s = NDArray[np.float64]
Float32s = NDArray[np.float32]


def scale_of(x: NDArray[np.generic]) -> float:
    """The divisor of raw values: 255 for bytes, 1 for float values, which are taken as they are."""
    return 255.0 if x.dtype == np.uint8 else 1.0


def channel_statistics(x: NDArray[np.generic]) -> tuple[Float64s, Float64s]:
    """Mean and population standard deviation per channel of x / scale, summed in float64.

    A channel that hardly varies gets ``STD_FLOOR`` times the median deviation of the channels that vary beyond
    float32's resolution, or 1 when none does: a feature that first varies in the test set must not explode.

    Args:
        x: uint8 or float32 [N, C, H, W].

    Returns:
        mean: float64 [C].
        std: float64 [C], above 0.
    """
    chunks = [x[start : start + CHUNK].astype(np.float64) for start in range(0, len(x), CHUNK)]
    count = x.size // x.shape[1]
    mean = np.sum([chunk.sum(axis=(0, 2, 3)) for chunk in chunks], axis=0) / count
    centre = mean.reshape(1, -1, 1, 1)
    variance = np.sum([((chunk - centre) ** 2).sum(axis=(0, 2, 3)) for chunk in chunks], axis=0) / count
    scale = scale_of(x)
    std = np.sqrt(variance) / scale
    varying = std[std > RESOLUTION * np.abs(mean) / scale]
    if varying.size == 0:
        return mean / scale, np.ones_like(std)
    median = np.quantile(varying, 0.5, method="lower")
    return mean / scale, np.maximum(std, STD_FLOOR * median)


def for_graphs(x: NDArray[np.generic]) -> tuple[Float32s, Float32s]:
    """The same in float32, for the formula ``(x / 255 - mean) / std`` of the graphs, which is that of bytes."""
    unit = np.float32(scale_of(x) / 255)
    mean, std = channel_statistics(x)
    return mean.astype(np.float32) * unit, std.astype(np.float32) * unit
