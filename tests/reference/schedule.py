"""The numbers of weights and samples that stay, and when they change."""

import dataclasses
import math
from fractions import Fraction

from .config import Config, LayerCounts, Recipe

P_INTER = {"paper": 0.01, "reference-code": 0.01}
P_INTRA = {"paper": 0.005, "reference-code": 0.01}
UPDATES = tuple(Fraction(i, 10) for i in range(1, 10))
FILTERS = tuple(Fraction(i, 10) for i in range(1, 5))
REFRESH = 30
"""Steps between two refreshes of the gradient masks."""


@dataclasses.dataclass(frozen=True)
class MaskEvent:
    """At ``fraction`` of a task, keep ``remove_to`` weights of each layer, then grow to ``grow_to``."""

    fraction: Fraction
    remove_to: tuple[int, ...]
    grow_to: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class FilterEvent:
    """At ``fraction`` of a task, ``total`` of its samples have been removed."""

    fraction: Fraction
    total: int


def rounded(x: float) -> int:
    """Round half up."""
    return math.floor(x + 0.5)


def layer_counts(size: int, sparsity: float, gradient_sparsity: float, recipe: Recipe) -> LayerCounts:
    """The counts of one layer of ``size`` weights under a uniform distribution."""
    density = 1 - sparsity
    most = min(density / 2, 1 - density)
    intra, inter = min(P_INTRA[recipe], most), min(P_INTER[recipe], most)
    return LayerCounts(
        size=size,
        base=rounded(density * size),
        shrunk=rounded((density - intra) * size),
        grown=rounded((density + inter) * size),
        update=rounded((1 - gradient_sparsity) * size),
    )


def mask_events(task: int, counts: tuple[LayerCounts, ...], recipe: Recipe) -> list[MaskEvent]:
    """The mask updates of a task (from 0), by fraction."""
    base = tuple(c.base for c in counts)
    shrunk = tuple(c.shrunk for c in counts)
    events = [MaskEvent(f, shrunk, base) for f in UPDATES]
    if task == 0:
        return events
    if recipe == "paper":
        events[0] = MaskEvent(UPDATES[0], base, base)
    grown = tuple(c.grown for c in counts)
    return [MaskEvent(Fraction(0), grown, grown), *events]


def filter_events(samples: int, config: Config) -> list[FilterEvent]:
    """The data removals of a task, by fraction."""
    share = config.data_removal
    totals = (rounded(share * samples * i / len(FILTERS)) for i in range(1, len(FILTERS) + 1))
    return [FilterEvent(f, total) for f, total in zip(FILTERS, totals, strict=True)] if share > 0 else []
