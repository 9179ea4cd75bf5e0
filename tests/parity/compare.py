"""What differs between a run in two runtimes: call by call for its first steps, and in its final accuracy."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.parity import tape

LIMIT = 1e-3
"""Largest difference of a step's loss, and of a graph's results as a share of their largest number or of 1."""
POINTS = 1.0
"""Largest difference of the final class-IL, in percentage points."""
CLOSE = "close"
"""The numeric profile of graphs that promise no bits."""
FRACTIONS = ("mean", "class_mean", "task_mean", "class_il")
"""Numbers that follow from losses and accuracies; what is compared of those is the loss and the final accuracy."""

Entry = tuple[str, Any]
"""The name of a result, its graph or call before a slash, and its value."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """Two runs, compared.

    Attributes:
        steps: how many were compared.
        unequal: the first result that has to be equal and is not, with its step; empty where there is none.
        loss: the largest difference of a step's loss.
    """

    steps: int
    unequal: str
    loss: float


def of_trace(trace: Mapping[str, Any]) -> Iterator[Entry]:
    """The results of a trace (tests/conformance/README.md) in order."""
    for call in trace["calls"]:
        yield from ((f"{call['graph']}/{name}", value) for name, value in call.items() if name not in ("graph", "at"))


def compare(found: Iterable[Entry], wanted: Iterable[Entry], steps: int) -> Difference:
    """Compare the results of the first ``steps`` steps: orders, rows, masks and removed samples exactly."""
    done, unequal, largest = 0, "", 0.0
    for (name, one), (other, two) in zip(found, wanted, strict=False):
        kind = name.rpartition("/")[2]
        if kind == "loss" and name == other:
            done, largest = done + 1, larger(largest, apart(one, two))
        elif name != other or (kind not in FRACTIONS and not same(one, two)):
            unequal = unequal or f"{name} behind step {done}"
        if done == steps:
            break
    if done < steps:
        unequal = unequal or f"the run ends behind step {done}"
    return Difference(done, unequal, largest)


def same(one: Any, two: Any) -> bool:
    """Whether two results are the same in every bit, and of one shape and type."""
    if isinstance(one, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (two.dtype, two.shape, two.tobytes())
    return bool(one == two)


def apart(one: Any, two: Any) -> float:
    """The largest difference of two arrays or numbers; NaN where one has a NaN (or null) and the other not."""
    a, b = (np.asarray(np.nan if value is None else value, np.float64) for value in (one, two))
    if a.shape != b.shape:
        return np.inf
    different = ~((a == b) | (np.isnan(a) & np.isnan(b)))
    return float(np.max(np.abs(a[different] - b[different]), initial=0.0))


def larger(one: float, two: float) -> float:
    """The larger number; NaN is larger than all."""
    return float(np.maximum(one, two))


def last(entries: Iterable[Entry], kind: str) -> float | None:
    """The last result of this name as a number; None where there is none."""
    found = [value for name, value in entries if name.rpartition("/")[2] == kind]
    return float(found[-1]) if found else None


@dataclasses.dataclass(frozen=True)
class GraphDifference:
    """One graph, run once from the same inputs in two runtimes.

    Attributes:
        graph: its name.
        promised: whether its bits are promised.
        bits: whether they agree.
        largest: the largest difference, as a share of the largest number of its result, or of 1.
    """

    graph: str
    promised: bool
    bits: bool
    largest: float

    @property
    def fine(self) -> bool:
        """Whether the promise is kept."""
        return self.bits if self.promised else self.largest <= LIMIT


def graphs(found: Path, wanted: Path, told: Path | None = None) -> list[GraphDifference]:
    """Compare the results of all graphs in two folders.

    Args:
        found: a folder of results.
        wanted: what it is held against.
        told: the folder of the tape, which says what each graph promises; None for ``wanted``.
    """
    ours, theirs = dict(tape.results(found)), dict(tape.results(wanted))
    profiles = {parts[1]: parts[4] for parts in tape.instructions(told or wanted) if parts[0] == "graph"}
    by_graph: dict[str, list[str]] = {}
    for name in theirs:
        by_graph.setdefault(name.partition("/")[0], []).append(name)
    return [
        _graph(graph, profiles[graph] != CLOSE, [(ours.get(name), theirs[name]) for name in names])
        for graph, names in by_graph.items()
    ]


def _graph(graph: str, promised: bool, pairs: list[tuple[tape.Array | None, tape.Array]]) -> GraphDifference:
    shares = [_share(one, two) for one, two in pairs]
    bits = all(one is not None and same(one, two) for one, two in pairs)
    return GraphDifference(graph, promised, bits, float(np.max(shares, initial=0.0)))


def _share(one: tape.Array | None, two: tape.Array) -> float:
    if one is None:
        return np.inf
    return apart(one, two) / max(1.0, float(np.max(np.abs(two.astype(np.float64)), initial=0.0)))
