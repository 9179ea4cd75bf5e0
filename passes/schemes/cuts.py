"""The table of schemes: how each cuts a weight into groups, how many of them stay and which stay at first.

The same for updates at run time, in ONNX operators, is ``sparcl_compile/graphs/exchange.py``.
"""

import abc
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.passes.schemes.axes import INPUT, KERNEL, OUTPUT
from sparcl_compile.passes.schemes.density import count
from sparcl_compile.passes.schemes.names import (
    BLOCK4X1,
    KERNEL_ENTRIES,
    PATTERN_DENSITY,
    PATTERN_ENTRIES,
    n_of_m,
    pattern_fits,
)
from sparcl_compile.passes.schemes.runs import Runs, largest, runs_along, total

BLOCK = 4

PATTERNS = (
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (3, 4, 6, 7),
    (4, 5, 7, 8),
    (1, 3, 4, 5),
    (3, 4, 5, 7),
    (1, 3, 4, 7),
    (1, 4, 5, 7),
)
"""The entries of each pattern in a 3x3 kernel, row by row: the four squares that hold the centre, then the four Ts."""

PATTERN_FLAGS = np.array([[entry in pattern for entry in range(KERNEL_ENTRIES)] for pattern in PATTERNS])
"""The same as flags: bool [8, 9]."""


@dataclasses.dataclass(frozen=True)
class Levels:
    """Counts of groups (of weights for N:M): all, those usually kept, after a removal, after the growth."""

    size: int
    base: int
    shrunk: int
    grown: int


@dataclasses.dataclass(frozen=True)
class Cut(abc.ABC):
    """One weight under a scheme.

    Attributes:
        scheme: what the manifest and the reports call it.
        runs: its groups.
    """

    scheme: str
    runs: Runs

    @abc.abstractmethod
    def levels(self, density: float, churn: float, expand: float) -> Levels:
        """Levels of the schedule at a density, with ``churn`` less and with ``expand`` more of all weights."""

    @abc.abstractmethod
    def elements(self, kept: int) -> int:
        """Number of weights that stay when a level keeps ``kept``; a mean where groups differ in size."""

    def most(self, kept: int) -> int:
        """Largest number of weights that stay when a level keeps ``kept``: the room that a compressed weight needs."""
        return self.elements(kept)

    @abc.abstractmethod
    def first(self, importance: np.ndarray, kept: int) -> np.ndarray:
        """The first mask: flat flags of the elements, from their importance (flat float32, from 0)."""


@dataclasses.dataclass(frozen=True)
class Whole(Cut):
    """Groups stay or go as a whole; groups of one element are the unstructured scheme."""

    def levels(self, density: float, churn: float, expand: float) -> Levels:
        """Counts of groups, in the share of the weights."""
        size = self.runs.count
        shrunk = count(density - churn, size) if density < 1.0 else size
        return Levels(size, count(density, size), shrunk, count(density + expand, size))

    def elements(self, kept: int) -> int:
        """Halves round up."""
        return (2 * kept * self.runs.elements + self.runs.count) // (2 * self.runs.count)

    def most(self, kept: int) -> int:
        """The smaller blocks at the ends of the rows come last."""
        runs = self.runs
        small = runs.before * runs.after if runs.missing else 0
        return kept * runs.size - max(0, kept - (runs.count - small)) * runs.missing

    def first(self, importance: np.ndarray, kept: int) -> np.ndarray:
        """The ``kept`` groups of largest importance."""
        runs = self.runs
        if runs.size == 1:
            return largest(importance, kept)
        sums = total(runs.split(importance, 0.0))
        flags = largest(sums.reshape(-1), kept).reshape(runs.before, runs.blocks, 1, runs.after)
        return runs.join(np.repeat(flags, runs.size, axis=2))


@dataclasses.dataclass(frozen=True)
class Patterns(Cut):
    """3x3 kernels that keep one of eight patterns of four entries, or go as a whole."""

    def levels(self, density: float, churn: float, expand: float) -> Levels:
        """Counts of kernels; raises FieldError when patterns cannot be as dense as that."""
        if not pattern_fits(density):
            problem = (
                f"a layer of {self.runs.elements} weights would keep {density:.4f} of them, "
                f"`scheme` pattern at most {PATTERN_DENSITY:.4f}"
            )
            raise FieldError("distribution", "erk", problem, "give uniform or a larger `sparsity`")
        size = self.runs.count
        base, shrunk, grown = (
            count(min(1.0, share / PATTERN_DENSITY), size) for share in (density, density - churn, density + expand)
        )
        return Levels(size, base, shrunk, grown)

    def elements(self, kept: int) -> int:
        """Four a kernel."""
        return PATTERN_ENTRIES * kept

    def first(self, importance: np.ndarray, kept: int) -> np.ndarray:
        """The best pattern of each kernel (ties: lower number), in the ``kept`` kernels where it is largest."""
        kernels = importance.reshape(-1, KERNEL_ENTRIES)
        sums = total(kernels[:, np.array(PATTERNS)][..., None])[..., 0]
        flags = largest(sums.max(axis=1), kept)
        chosen: np.ndarray = PATTERN_FLAGS[sums.argmax(axis=1)] & flags[:, None]
        return chosen.reshape(-1)


@dataclasses.dataclass(frozen=True)
class NOfM(Cut):
    """Exactly n of m consecutive weights stay; the numbers of a level are weights."""

    n: int
    m: int

    def quota(self, entries: int) -> int:
        """Number of entries that stay of a group: their share, halves round up, and one at least.

        An output whose whole row is one short group would otherwise have no input at all.
        """
        return max(1, (2 * self.n * entries + self.m) // (2 * self.m))

    def quotas(self) -> tuple[int, ...]:
        """Number of entries that stay in each group along a row."""
        runs = self.runs
        return (*[self.quota(runs.size)] * (runs.blocks - 1), self.quota(runs.size - runs.missing))

    def levels(self, density: float, churn: float, expand: float) -> Levels:
        """Weights; nothing is grown beyond the n of a group, whatever ``expand`` says."""
        base = sum(self.quotas()) * self.runs.before * self.runs.after
        return Levels(self.runs.elements, base, max(0, base - count(churn, self.runs.elements)), base)

    def elements(self, kept: int) -> int:
        """The levels are elements."""
        return kept

    def first(self, importance: np.ndarray, kept: int) -> np.ndarray:
        """The largest of each group (ties: lower index); ``kept`` follows from the groups."""
        split = self.runs.split(importance, -1.0)
        order = np.argsort(-split, axis=2, kind="stable")
        room = np.array(self.quotas())[None, :, None, None]
        ranked = np.broadcast_to(np.arange(self.runs.size)[None, None, :, None] < room, split.shape)
        flags = np.zeros(split.shape, bool)
        np.put_along_axis(flags, order, ranked, axis=2)
        return self.runs.join(flags)


Shape = Sequence[int]


def unstructured(shape: Shape, axes: str = "") -> Cut:
    """Single weights."""
    return Whole("unstructured", Runs(math.prod(shape), 1, 1, 1))


def block4x1(shape: Shape, axes: str) -> Cut:
    """Four consecutive output channels at one input channel and kernel position (MEST, Yuan et al., NeurIPS 2021)."""
    axis = axes.index(OUTPUT)
    return Whole(BLOCK4X1, runs_along(shape, axis, axis + 1, BLOCK))


def kernel(shape: Shape, axes: str) -> Cut:
    """The kernel of one output and input channel (SparseByteNN, Xu et al., 2023); a single weight without one."""
    first = axes.find(KERNEL)
    entries = math.prod(shape[first:]) if first >= 0 else 1
    return Whole("kernel", Runs(math.prod(shape) // entries, entries, 1, entries))


def pattern(shape: Shape, axes: str) -> Cut:
    """Patterns in 3x3 kernels (PCONV, Ma et al., AAAI 2020; PatDNN; MEST); the scheme kernel for all others."""
    whole = kernel(shape, axes)
    return Patterns("pattern", whole.runs) if tuple(shape[2:]) == (3, 3) and axes.count(KERNEL) == 2 else whole


def n_of_m_cut(scheme: str, shape: Shape, axes: str) -> Cut:
    """N of M consecutive weights along the input direction: with the kernel where it follows the input axis."""
    pair = n_of_m(scheme)
    if pair is None:
        raise ValueError(f"{scheme} is not N:M")
    first = axes.index(INPUT)
    last = len(axes) if axes[first + 1 :].strip(KERNEL) == "" else first + 1
    return NOfM(scheme, runs_along(shape, first, last, pair[1]), *pair)


CUTS: Mapping[str, Callable[[Shape, str], Cut]] = {
    "unstructured": unstructured,
    "channel": unstructured,  # a channel lies on several weights: passes/channels cuts those, not one weight alone
    BLOCK4X1: block4x1,
    "kernel": kernel,
    "pattern": pattern,
}


def cut_for(scheme: str, shape: Shape, axes: str) -> Cut:
    """A weight under a scheme.

    Args:
        scheme: a checked name, ``N:M`` included.
        shape: of the weight.
        axes: what its axes stand for (``axes_of``); the unstructured scheme does not read it.
    """
    if scheme in CUTS:
        return CUTS[scheme](shape, axes)
    return n_of_m_cut(scheme, shape, axes)
