"""DDR: the counters of each sample, and the samples that are removed."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

NEVER_LEARNED = 50
RULES: dict[str, Literal["misclassified", "forgetting"]] = {"paper": "misclassified", "reference-code": "forgetting"}

Ids = NDArray[np.int64]


class Samples:
    """The counters of one task's S samples. All arrays are [S]; ``keep`` is bool, the others int64 or bool."""

    def __init__(self, count: int, recipe: str) -> None:
        """Keep all samples."""
        self.rule = RULES[recipe]
        self.keep = np.ones(count, dtype=bool)
        self.wrong = np.zeros(count, dtype=np.int64)
        self.seen = np.zeros(count, dtype=np.int64)
        self.forgotten = np.zeros(count, dtype=np.int64)
        self.correct = np.zeros(count, dtype=bool)
        self.learned = np.zeros(count, dtype=bool)

    def observe(self, ids: Ids, correct: NDArray[np.bool_]) -> None:
        """Count one presentation of each of the (distinct) samples."""
        self.seen[ids] += 1
        self.wrong[ids] += ~correct
        self.forgotten[ids] += self.correct[ids] & ~correct
        self.correct[ids] = correct
        self.learned[ids] |= correct

    def score(self) -> Ids:
        """The score by which samples leave, lowest first."""
        if self.rule == "misclassified":
            return self.wrong
        return np.where(self.learned, self.forgotten, NEVER_LEARNED)

    def spared(self) -> NDArray[np.bool_]:
        """The kept samples that the task can spare: presented twice in this stage, and of score 0."""
        return self.keep & (self.seen >= 2) & (self.score() == 0)

    def remove(self, total: int, batch: int, order: Ids | None = None) -> None:
        """Remove samples that can be spared until ``total`` are gone or a batch is left, and begin the next stage.

        Of those seen as often the first in ``order`` go first, the kept samples in the order of the epoch; by index
        without it.
        """
        leaving = min(total - int((~self.keep).sum()), int(self.keep.sum()) - batch)
        if leaving > 0:
            kept = np.flatnonzero(self.keep) if order is None else order
            spared = kept[self.spared()[kept]]
            first = np.argsort(-self.seen[spared], kind="stable")
            self.keep[spared[first[:leaving]]] = False
        self.seen[:] = 0
        self.wrong[:] = 0
