"""TDM: the initial weight masks and their updates. Everything is per layer, over flat arrays."""

import numpy as np
from numpy.typing import NDArray

from .hashing import stream

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]


def top(scores: NDArray[np.generic], among: Mask, k: int) -> Mask:
    """The k largest scores among the candidates (at most all of them); ties go to the lower index. Shapes [n]."""
    candidates = np.flatnonzero(among)
    descending = np.lexsort((candidates, -scores[candidates].astype(np.float64)))
    chosen = np.zeros(among.size, dtype=bool)
    chosen[candidates[descending[:k]]] = True
    return chosen


def initial_mask(weight: Floats, base: int) -> Mask:
    """The ``base`` largest magnitudes."""
    return top(np.abs(weight), np.ones(weight.size, dtype=bool), base)


def _scaled(gradient: Floats, factor: float) -> Floats:
    return np.multiply(np.abs(gradient), factor, dtype=np.float32)


def combine(g1: Floats, g2: Floats, alpha: float, beta: float) -> Floats:
    """CGI ``alpha*|g1| + beta*|g2|`` in float32, 0 where that is subnormal."""
    total = np.add(_scaled(g1, alpha), _scaled(g2, beta), dtype=np.float32)
    return np.where(total < 2.0**-126, np.float32(0), total)


def importance(weight: Floats, g1: Floats, g2: Floats, alpha: float, beta: float) -> Floats:
    """CWI ``(|w| + alpha*|g1|) + beta*|g2|`` in float32, added in this order."""
    first = np.add(np.abs(weight), _scaled(g1, alpha), dtype=np.float32)
    return np.add(first, _scaled(g2, beta), dtype=np.float32)


def update_mask(
    mask: Mask, scores: Floats | None, remove_to: int, grow_to: int, seed: int, update: int, layer: int
) -> tuple[Mask, Mask]:
    """Remove by score, then grow by hash; returns the new mask and where a weight was removed or grown.

    ``scores`` None stands for an update that cannot remove.
    """
    kept = mask.copy() if scores is None or mask.sum() <= remove_to else top(scores, mask, remove_to)
    missing = grow_to - int(kept.sum())
    new = kept.copy()
    if missing > 0:
        new |= top(stream(seed, "grow", update, layer, np.arange(mask.size)), ~kept, missing)
    return new, (mask & ~kept) | (new & ~kept)
