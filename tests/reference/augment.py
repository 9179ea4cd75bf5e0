"""Crop, flip and normalisation of raw images [N, C, H, W]."""

import numpy as np
from numpy.typing import NDArray

from .hashing import stream

PAD = 4


def normalise(x: NDArray[np.generic], mean: tuple[float, ...], std: tuple[float, ...]) -> NDArray[np.float32]:
    """``(x / 255 - mean) / std`` in float32, mean and std per channel."""
    m = np.asarray(mean, dtype=np.float32).reshape(-1, 1, 1)
    s = np.asarray(std, dtype=np.float32).reshape(-1, 1, 1)
    return (x.astype(np.float32) / np.float32(255) - m) / s


def crop_flip(x: NDArray[np.generic], seed: int, step: int, which: int) -> NDArray[np.generic]:
    """Shift each image by up to 4 pixels and mirror half of them; ``which`` batch: 0 current, 1 logits, 2 labels."""
    height, width = x.shape[-2:]
    padded = np.pad(x, ((0, 0), (0, 0), (PAD, PAD), (PAD, PAD)))
    draws = stream(seed, "augment", step, which, np.arange(3 * len(x))).reshape(-1, 3)
    out = np.empty_like(x)
    for i, (row, column, mirror) in enumerate(draws):
        top, left = int(row) % (2 * PAD + 1), int(column) % (2 * PAD + 1)
        image = padded[i, :, top : top + height, left : left + width]
        out[i] = image[..., ::-1] if int(mirror) >> 31 else image
    return out
