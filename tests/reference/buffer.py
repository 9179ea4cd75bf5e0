"""The replay buffer: reservoir sampling over presentations, and the draws."""

import numpy as np
from numpy.typing import NDArray

from .hashing import stream

Ids = NDArray[np.int64]


def reservoir_slots(seed: int, seen: int, size: int, count: int) -> Ids:
    """The slot of each of the next ``count`` presentations after ``seen`` ones, -1 for none. Shape [count]."""
    n = np.arange(seen, seen + count, dtype=np.int64)
    r = stream(seed, "reservoir", 0, 0, n).astype(np.int64) % (n + 1)
    return np.where(n < size, n, np.where(r < size, r, -1))


def draw(seed: int, step: int, which: int, filled: int, batch: int) -> Ids:
    """The slots of a replay batch (``which``: 0 logits, 1 labels), at most ``batch`` of the filled ones."""
    slots = np.arange(filled, dtype=np.int64)
    return np.lexsort((slots, stream(seed, "replay", step, which, slots)))[:batch] if filled else slots


class Buffer:
    """Raw samples, labels and logits in ``size`` slots, allocated at the first batch.

    ``source`` is the running number of the presentation in each slot, -1 while the slot is empty.
    """

    def __init__(self, size: int, seed: int) -> None:
        """An empty buffer."""
        self.size, self.seed, self.seen = size, seed, 0
        self.x: NDArray[np.generic] = np.zeros(0)
        self.labels: Ids = np.zeros(size, dtype=np.int64)
        self.logits: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self.source: Ids = np.full(size, -1, dtype=np.int64)

    @property
    def filled(self) -> int:
        """The number of slots in use; they are the first ones."""
        return min(self.seen, self.size)

    def add(self, x: NDArray[np.generic], labels: Ids, logits: NDArray[np.float32]) -> None:
        """Present a batch: x [N, ...], labels [N], logits [N, C]."""
        if self.seen == 0:
            self.x = np.zeros((self.size, *x.shape[1:]), dtype=x.dtype)
            self.logits = np.zeros((self.size, logits.shape[1]), dtype=np.float32)
        slots = reservoir_slots(self.seed, self.seen, self.size, len(x))
        for i in np.flatnonzero(slots >= 0):  # one by one, so that the later of two in one slot wins
            slot = slots[i]
            self.x[slot], self.labels[slot], self.logits[slot] = x[i], labels[i], logits[i]
            self.source[slot] = self.seen + i
        self.seen += len(x)

    def draw(self, step: int, which: int, batch: int) -> Ids:
        """The slots of a replay batch."""
        return draw(self.seed, step, which, self.filled, batch)
