"""DGM: which of the kept weights are updated."""

import math

import numpy as np

from .masks import Floats, Mask, top


def gradient_mask(cgi: Floats, mask: Mask, keep: int) -> Mask:
    """The ``min(keep, kept weights)`` kept weights of largest CGI; ties go to the lower index. Shapes [n]."""
    return top(cgi, mask, keep)


def channel_gradient_mask(cgi: Floats, mask: Mask, channels: int, gradient_sparsity: float) -> Mask:
    """The kept weights of the ``floor((1 - q) * channels + 0.5)`` channels, at least one, with the largest sum of CGI.

    Channels without a kept weight come last; ties go to the lower index. Shapes [n], channel by channel.
    """
    keep = max(1, math.floor((1 - gradient_sparsity) * channels + 0.5))
    rows, kept = cgi.reshape(channels, -1), mask.reshape(channels, -1)
    totals = np.where(kept.any(axis=1), (rows * kept).sum(axis=1), -1.0)
    chosen = top(totals, np.ones(channels, dtype=bool), keep)
    return (kept & chosen[:, None]).reshape(-1)
