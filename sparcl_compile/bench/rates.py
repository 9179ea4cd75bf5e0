"""The choice of a learning rate by trials on held-out training samples."""

import dataclasses
from collections.abc import Mapping, Sequence

from sparcl_compile.bench.grid import Cell, givers
from sparcl_compile.bench.results import Outcome

Trials = Mapping[float, Sequence[Outcome]]
"""The trials of one cell, by rate."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """The rate that a cell takes, or why there is none to take.

    Attributes:
        rate: the rate; None for the artifact's own, and where there is none to take.
        failure: the line that says why trials left none.
        open: whether trials are still to be learned.
    """

    rate: float | None
    failure: str | None = None
    open: bool = False


def mean(trials: Sequence[Outcome]) -> float | None:
    """The mean class-incremental accuracy on held-out samples; None where a trial has failed."""
    found = [one.result.class_il for one in trials if one.result is not None]
    return sum(found) / len(found) if found and len(found) == len(trials) else None


def choices(cells: Sequence[Cell], trials: Sequence[Trials]) -> list[Choice]:
    """The rate of each cell: its own best, or that of the row that it names, for the same data (``givers``)."""
    own = [best(cell, one) for cell, one in zip(cells, trials, strict=True)]
    takes = [givers(cell, cells)[0] if cell.rate_of else cell for cell in cells]
    return [own[cells.index(cell)] for cell in takes]


def best(cell: Cell, trials: Trials) -> Choice:
    """The rate with the best mean, of equals the smallest; a failure where under every rate a trial has failed.

    Where there is nothing to choose it is the cell's only one, or the artifact's own; it is open until all trials have
    ended.
    """
    if len(cell.rates) < 2:
        return Choice(cell.rates[0] if cell.rates else None)
    if not all(one.ended for several in trials.values() for one in several):
        return Choice(None, open=True)
    means = {rate: found for rate in sorted(cell.rates) if (found := mean(trials[rate])) is not None}
    if means:
        return Choice(max(means, key=lambda rate: means[rate]))
    first = next(one.failure for rate in cell.rates for one in trials[rate] if one.failure)
    return Choice(None, f"a trial failed under every learning rate of row {cell.row} ({first}); add smaller ones")
