"""Weights and learning rates of a masked layer, scaled by its density, and the largest steps of all parameters.

Output channels lie on axis 0.
"""

import numpy as np
import torch
from numpy.typing import NDArray


def gain(weight: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """How many times larger the norm of the channels that keep any weight is without the mask."""
    alive = [channel for channel in range(len(mask)) if mask[channel].any()]
    before = sum(float(np.square(weight[channel], dtype=np.float64).sum()) for channel in alive)
    after = float(np.square(weight[mask], dtype=np.float64).sum())
    return (before / after) ** 0.5


def rate_factor(mask: NDArray[np.bool_]) -> float:
    """Weights of the channels that keep any, for each one that is kept."""
    alive = [channel for channel in range(len(mask)) if mask[channel].any()]
    return sum(mask[channel].size for channel in alive) / int(mask.sum())


def first_norm(parameter: torch.Tensor) -> float:
    """The norm of a weight, or a fresh one's where it is larger; half of the fresh one's for vectors."""
    usual = (len(parameter) / 3) ** 0.5
    return max(float(parameter.double().norm()), usual) if parameter.dim() > 1 else usual / 2


def share(rate: float, gradient: torch.Tensor, limit: float) -> float:
    """How much of a gradient makes a step of at most the largest norm, at most all of it."""
    norm = float(gradient.norm())
    return min(1.0, limit / (rate * norm)) if norm else 1.0
