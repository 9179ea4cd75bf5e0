"""A weight as rows of consecutive entries: the geometry of every group, and the arithmetic on groups in NumPy."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Runs:
    """A weight in row-major order as [before, length, after], cut along the middle axis into runs of ``size`` entries.

    The last run of a row is shorter when ``size`` does not divide ``length``. Runs are numbered by their first element:
    the number is the flat index into [before, blocks, after].
    """

    before: int
    length: int
    after: int
    size: int

    @property
    def blocks(self) -> int:
        """Number of runs along the middle axis."""
        return -(-self.length // self.size)

    @property
    def count(self) -> int:
        """Number of runs in the weight."""
        return self.before * self.blocks * self.after

    @property
    def elements(self) -> int:
        """Number of elements of the weight."""
        return self.before * self.length * self.after

    @property
    def missing(self) -> int:
        """Number of entries that the last run of a row lacks."""
        return self.blocks * self.size - self.length

    def split(self, values: np.ndarray, fill: Any) -> np.ndarray:
        """Values of the elements (flat) as [before, blocks, size, after], with ``fill`` for what is missing."""
        rows = values.reshape(self.before, self.length, self.after)
        whole = np.pad(rows, ((0, 0), (0, self.missing), (0, 0)), constant_values=fill)
        return whole.reshape(self.before, self.blocks, self.size, self.after)

    def join(self, values: np.ndarray) -> np.ndarray:
        """The opposite of :meth:`split`: flat values of the elements."""
        return values.reshape(self.before, -1, self.after)[:, : self.length].reshape(-1)


def runs_along(shape: Sequence[int], first: int, last: int, size: int) -> Runs:
    """Runs of at most ``size`` entries along the axes from ``first`` to before ``last``, taken as one axis."""
    length = math.prod(shape[first:last])
    return Runs(math.prod(shape[:first]), length, math.prod(shape[last:]), min(size, length))


def padded(size: int) -> int:
    """The next power of two."""
    return 1 << (size - 1).bit_length()


def total(values: np.ndarray) -> np.ndarray:
    """The sum over axis 2 of four in a fixed order, so that float32 gives the same bits everywhere.

    Zeros fill the axis up to a power of two, then its second half is added to its first until one entry is left.
    """
    size = values.shape[2]
    values = np.pad(values, ((0, 0), (0, 0), (0, padded(size) - size), (0, 0)))
    while values.shape[2] > 1:
        half = values.shape[2] // 2
        values = values[:, :, :half] + values[:, :, half:]
    return values[:, :, 0]


def largest(values: np.ndarray, k: int) -> np.ndarray:
    """Flags of the ``k`` largest of a vector, bool; ties go to the lower index."""
    if k == 0:
        return np.zeros(values.size, bool)
    # A partition finds the threshold without sorting: ten times faster on millions of weights.
    threshold = np.partition(values, values.size - k)[values.size - k]
    chosen: np.ndarray = values > threshold
    chosen[np.flatnonzero(values == threshold)[: k - np.count_nonzero(chosen)]] = True
    return chosen
