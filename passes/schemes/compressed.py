"""A sparse weight as its kept values and their positions (docs/algorithm.md, Compressed weights), in NumPy."""

from collections.abc import Sequence

import numpy as np


def compress(weight: np.ndarray, mask: np.ndarray, places: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Store what a mask keeps.

    Args:
        weight: the full weight [O, ...], output channels first.
        mask: of its shape; other than 0 where a weight is kept, whatever its value.
        places: K, how many values there is room for.

    Returns:
        ``values`` [K] of the weight's dtype; ``index`` int32 [K], their flat positions in the weight, ascending; and
        ``rows`` int32 [O + 1]: the places ``rows[o]:rows[o + 1]`` belong to output channel o. Places from ``rows[O]``
        on are padding: value and index 0.

    Raises:
        ValueError: the mask has another shape, or keeps more than there are places.
    """
    if mask.shape != weight.shape:
        raise ValueError(f"a mask of shape {mask.shape} for a weight of shape {weight.shape}")
    kept = np.flatnonzero(mask)
    if kept.size > places:
        raise ValueError(f"{kept.size} kept weights for {places} places")
    padding = (0, places - kept.size)
    each = np.count_nonzero(mask.reshape(len(weight), -1), axis=1)
    rows = np.concatenate([[0], np.cumsum(each)])
    values = np.pad(weight.reshape(-1)[kept], padding)
    return values, np.pad(kept, padding).astype(np.int32), rows.astype(np.int32)


def decompress(
    values: np.ndarray, index: np.ndarray, rows: np.ndarray, shape: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The opposite of :func:`compress`.

    Args:
        values: [K].
        index: int32 [K].
        rows: int32 [O + 1].
        shape: of the full weight [O, ...].

    Returns:
        The weight, of the dtype of ``values``, 0 where nothing is kept; and its mask, 0/1 float32 of its shape.

    Raises:
        ValueError: the three do not belong together or to this shape.
    """
    live = int(rows[-1])
    if len(rows) != shape[0] + 1 or values.shape != index.shape or not 0 <= live <= values.size:
        raise ValueError(
            f"values {values.shape}, index {index.shape}, rows {rows.shape} to {live}: not of {tuple(shape)}"
        )
    weight, mask = np.zeros(shape, values.dtype), np.zeros(shape, np.float32)
    weight.reshape(-1)[index[:live]] = values[:live]
    mask.reshape(-1)[index[:live]] = 1.0
    return weight, mask
