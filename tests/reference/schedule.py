"""The numbers of weights and samples that stay, and when they change."""

import dataclasses
import math
from collections.abc import Sequence
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
    """Round half up; a half that floats have missed by a little is one."""
    return math.floor(round(x, 9) + 0.5)


def layer_counts(size: int, sparsity: float, gradient_sparsity: float, recipe: Recipe) -> LayerCounts:
    """The counts of one layer of ``size`` weights under a uniform distribution; one that is kept whole stays whole."""
    density = 1 - sparsity
    intra = min(P_INTRA[recipe], density / 2) if sparsity > 0 else 0.0
    inter = min(P_INTER[recipe], density / 2, 1 - density)
    return LayerCounts(
        size=size,
        base=rounded(density * size),
        shrunk=rounded((density - intra) * size),
        grown=rounded((density + inter) * size),
        update=rounded((1 - gradient_sparsity) * size),
    )


def erk_densities(shapes: Sequence[Sequence[int]], sparsity: float) -> list[float]:
    """Densities in proportion to sum(shape) / prod(shape), at most 1, that keep the share 1 - sparsity of all weights.

    The factor is searched by halves: the more of it, the more weights are kept.
    """
    sizes, raw = [math.prod(shape) for shape in shapes], [sum(shape) / math.prod(shape) for shape in shapes]
    low, high = 0.0, 1 / min(raw)
    for _ in range(100):
        factor = (low + high) / 2
        kept = sum(min(1.0, factor * one) * size for one, size in zip(raw, sizes, strict=True))
        low, high = (factor, high) if kept < (1 - sparsity) * sum(sizes) else (low, factor)
    return [min(1.0, low * one) for one in raw]


def erk_counts(
    shapes: Sequence[Sequence[int]], sparsity: float, gradient_sparsity: float, recipe: Recipe
) -> tuple[LayerCounts, ...]:
    """The counts of all layers under ERK; a denser layer also updates more of its weights."""
    densities = erk_densities(shapes, sparsity)
    updated = [min(1.0, (1 - gradient_sparsity) * density / (1 - sparsity)) for density in densities]
    return tuple(
        layer_counts(math.prod(shape), 1 - density, 1 - share, recipe)
        for shape, density, share in zip(shapes, densities, updated, strict=True)
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
