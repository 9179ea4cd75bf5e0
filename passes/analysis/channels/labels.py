"""Labels of elements: which elements of which axes can only be removed together, and what must stay."""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Cause:
    """Why elements stay: the node (or weight, or input) and a few words; no words for what needs no mention."""

    node: str
    op_type: str
    reason: str


QUIET = Cause("", "", "")
"""Axes that are no channels: kernel positions, axes of length one, the inputs of one group of a grouped Conv."""

Axis = np.ndarray | Cause
"""Labels of an axis, one an element (int64 [length]), or the reason why the whole axis stays."""


class Ties:
    """Collects labels, ties between them and blocks; the connected components are the units."""

    def __init__(self) -> None:
        self.count = 0
        self.edges: list[tuple[np.ndarray, np.ndarray]] = []
        self.blocks: list[tuple[np.ndarray, Cause]] = []

    def fresh(self, length: int) -> np.ndarray:
        """New labels, each free of all others: int64 [length]."""
        labels = np.arange(self.count, self.count + length, dtype=np.int64)
        self.count += length
        return labels

    def tie(self, one: Axis, other: Axis) -> None:
        """Elements at the same place go together; what meets an axis that stays whole stays too."""
        if isinstance(one, Cause):
            self.block(other, one)
        elif isinstance(other, Cause):
            self.block(one, other)
        elif one is not other:
            self.edges.append((one, other))

    def tie_rows(self, table: np.ndarray) -> None:
        """All labels of a row [rows, columns] go together."""
        if table.shape[1] > 1:
            self.edges.append((np.repeat(table[:, 0], table.shape[1] - 1), table[:, 1:].reshape(-1)))

    def block(self, axis: Axis, cause: Cause) -> None:
        """These elements stay."""
        if not isinstance(axis, Cause):
            self.blocks.append((axis, cause))

    def labelled(self, axis: Axis, length: int) -> np.ndarray:
        """An axis as labels; one that stays whole gets labels of its own, which are blocked."""
        if not isinstance(axis, Cause):
            return axis
        labels = self.fresh(length)
        self.block(labels, axis)
        return labels

    def components(self) -> "Components":
        """The units that follow from all ties and blocks so far."""
        firsts = np.concatenate([np.zeros(0, np.int64), *(one for one, _ in self.edges)])
        seconds = np.concatenate([np.zeros(0, np.int64), *(other for _, other in self.edges)])
        number, of_label = _connected(firsts, seconds, self.count)
        stays = np.full(number, len(self.blocks), np.int64)
        for index, (labels, _) in enumerate(self.blocks):
            np.minimum.at(stays, of_label[labels], index)
        return Components(of_label.astype(np.int64), stays, tuple(cause for _, cause in self.blocks))


@dataclasses.dataclass
class Components:
    """Connected components of labels.

    Attributes:
        of_label: the component of a label, int64 [labels].
        stays: the index in ``causes`` of the first cause that keeps a component, or their number if none does.
        causes: in the order of the graph.
    """

    of_label: np.ndarray
    stays: np.ndarray
    causes: tuple[Cause, ...]

    def free(self, labels: np.ndarray) -> np.ndarray:
        """Whether nothing keeps the elements: bool [length]."""
        return np.asarray(self.stays[self.of_label[labels]] == len(self.causes))

    def keep(self, components: np.ndarray, cause: Cause) -> None:
        """Block more components."""
        free = self.stays == len(self.causes)
        self.causes = (*self.causes, cause)
        self.stays[free] = len(self.causes)
        self.stays[components[free[components]]] = len(self.causes) - 1

    def causes_of(self, labels: np.ndarray) -> list[Cause]:
        """The causes that keep any of the elements, each once, in the order of the graph."""
        found = np.unique(self.stays[self.of_label[labels]])
        return [self.causes[int(index)] for index in found if index < len(self.causes)]


def distinct(table: np.ndarray) -> int:
    """Number of units that are left of the labels [rows, columns] once each row goes together."""
    _, inverse = np.unique(table, return_inverse=True)
    codes = inverse.reshape(table.shape)
    rows = np.repeat(codes[:, 0], table.shape[1])
    size = int(codes.max()) + 1
    return _connected(rows, codes.reshape(-1), size)[0]


def _connected(firsts: np.ndarray, seconds: np.ndarray, size: int) -> tuple[int, np.ndarray]:
    """The number of connected components of a graph with these edges, and the component of each of its nodes."""
    # Takes a quarter of a second to load; most compilations have no use for it.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(firsts), np.int8), (firsts, seconds)), shape=(size, size))
    number, component = connected_components(edges, directed=False)
    return int(number), np.asarray(component)


def first_cause(axes: Sequence[Axis]) -> Cause:
    """The first cause with a reason among axes that stay whole."""
    return next((axis for axis in axes if isinstance(axis, Cause) and axis != QUIET), QUIET)
