"""The FLOPs of one sample as a sum over the densities of its weights."""

import dataclasses
from collections.abc import Mapping, Sequence

from sparcl_compile.costs.flops import ComputedGradients, LayerCost, TrainingFlops, training_flops


@dataclasses.dataclass(frozen=True)
class FlopsByDensity:
    """FLOPs of one sample as a sum: what no mask changes, and for each weight what its density is multiplied by.

    Attributes:
        fixed: the sum at a density of 0 of every masked weight.
        each: the addition at a density of 1 of one weight and its gradient, by name.
    """

    fixed: TrainingFlops
    each: Mapping[str, TrainingFlops]


def flops_by_density(
    costs: Sequence[LayerCost], weights: Sequence[str], computed: ComputedGradients | None = None
) -> FlopsByDensity:
    """FLOPs of training on one sample by the density of each of these weights; other arguments as `training_flops`."""
    none = dict.fromkeys(weights, 0.0)
    fixed = training_flops(costs, none, none, computed)
    whole = {name: training_flops(costs, {**none, name: 1.0}, {**none, name: 1.0}, computed) for name in weights}
    return FlopsByDensity(fixed, {name: _difference(one, fixed) for name, one in whole.items()})


def _difference(first: TrainingFlops, second: TrainingFlops) -> TrainingFlops:
    pairs = zip(dataclasses.astuple(first), dataclasses.astuple(second), strict=True)
    return TrainingFlops(*(one - other for one, other in pairs))
