"""The distance that the masks of a run have moved."""

from collections.abc import Mapping, Sequence

import numpy as np

from sparcl_compile.interface.specs import WeightSpec
from sparcl_compile.runtime.reporting.masks import CHANNEL, kept_of


def moved(
    weights: Sequence[WeightSpec], first: Mapping[str, np.ndarray], last: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """The share of the weights kept at last that were not kept at first, by weight; 0 where no weight is kept.

    Channels are left out: a weight that stays with its channel has not moved.

    Args:
        weights: the masked weights.
        first: the state that a run begins with, by name.
        last: the state at its end.
    """
    single = [weight for weight in weights if weight.scheme != CHANNEL]
    kept = {weight.weight: (kept_of(weight, first), kept_of(weight, last)) for weight in single}
    return {name: float(np.mean(~before[after])) if after.any() else 0.0 for name, (before, after) in kept.items()}
