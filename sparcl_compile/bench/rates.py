"""The choice of a learning rate by trials on held-out training samples."""

from collections.abc import Iterator, Mapping, Sequence

from sparcl_compile.bench.grid import Cell
from sparcl_compile.bench.results import Outcome
from sparcl_compile.interface.errors import GridError

Trials = Mapping[float, Sequence[Outcome]]
"""The trials of one cell, by rate."""


def mean(trials: Sequence[Outcome]) -> float | None:
    """The mean class-incremental accuracy on held-out samples; None where a trial has failed."""
    found = [one.result.class_il for one in trials if one.result is not None]
    return sum(found) / len(found) if found and len(found) == len(trials) else None


def best_rates(cells: Sequence[Cell], trials: Sequence[Trials]) -> Iterator[float | None]:
    """The rate of each cell: its own best, or that of the row that it names; raises GridError as ``best_rate``."""
    own = {cell.row: best_rate(cell, one) for cell, one in zip(cells, trials, strict=True) if not cell.rate_of}
    for cell, one in zip(cells, trials, strict=True):
        yield own[cell.rate_of] if cell.rate_of else best_rate(cell, one)


def best_rate(cell: Cell, trials: Trials) -> float | None:
    """The rate with the best mean, of equals the smallest.

    Where there is nothing to choose it is the cell's only one; None stands for the artifact's own.

    Raises:
        GridError: under every rate a trial has failed.
    """
    if len(cell.rates) < 2:
        return cell.rates[0] if cell.rates else None
    means = {rate: found for rate in sorted(cell.rates) if (found := mean(trials[rate])) is not None}
    if not means:
        failure = next(one.failure for rate in cell.rates for one in trials[rate] if one.failure)
        raise GridError(f"row {cell.row}: a trial failed under every learning rate ({failure}); add smaller ones to lr")
    return max(means, key=lambda rate: means[rate])
