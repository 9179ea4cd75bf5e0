"""Observed samples that wait to be learned."""

from collections.abc import Sequence

import numpy as np

from sparcl_compile.runtime.learner.folder import Labelled, StateFolder


class Pending:
    """The samples that were observed and that no task has taken yet, in the order of their arrival.

    Args:
        folder: where they are safe.
        taken: how many were taken so far.

    Attributes:
        samples: that wait, [C, H, W].
        names: of their classes.
        taken: as given, and those that were since.
    """

    def __init__(self, folder: StateFolder, taken: int) -> None:
        self._folder = folder
        self.taken = taken
        self.samples: list[np.ndarray] = []
        self.names: list[str] = []
        found = folder.read_pending()
        if found is not None:
            # A kill may have left samples there that a task has taken.
            late = max(0, taken - found.first)
            self.samples = list(found.x[late:])
            self.names = [found.names[label] for label in found.labels[late:]]

    @property
    def observed(self) -> int:
        """How many samples were ever observed."""
        return self.taken + len(self.names)

    def add(self, x: np.ndarray, name: str) -> None:
        """Keep a sample [C, H, W], which is on disk behind it.

        Raises:
            WriteError: it cannot be written; it is not kept.
        """
        self._write([*self.samples, x], [*self.names, name])
        self.samples.append(x)
        self.names.append(name)

    def take(self) -> tuple[np.ndarray, list[str]]:
        """Give all samples [N, C, H, W] and their names; on disk they stay until ``forget``."""
        x, names = np.stack(self.samples), self.names
        self.taken += len(names)
        self.samples, self.names = [], []
        return x, names

    def forget(self) -> None:
        """Remove what was taken from the disk."""
        self._write(self.samples, self.names)

    def _write(self, samples: Sequence[np.ndarray], names: Sequence[str]) -> None:
        places = {name: place for place, name in enumerate(dict.fromkeys(names))}
        labels = np.array([places[name] for name in names], np.int64)
        x = np.stack(samples) if samples else np.zeros((0, 0, 0, 0), np.uint8)
        self._folder.write_pending(Labelled(x, labels, tuple(places), self.taken))
