"""The two published ways of running SparCL."""

import dataclasses
from collections.abc import Mapping
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The numbers of one published way of running SparCL.

    Attributes:
        name: what ``--recipe`` calls it.
        alpha: weight of the current task's gradient in CWI and CGI.
        beta: weight of the replay gradient.
        merge_gradients: measure one gradient over current and replay batches instead of two.
        single_head: mask other tasks' classes while measuring the current batch.
        expand: share of all weights grown at the start of a later task (p_inter).
        churn: share of all weights removed and grown again at an update (p_intra).
        shrink_by_churn: whether the update that ends the expansion also exchanges ``churn`` weights.
        score: what the sample filter counts.
    """

    name: str
    alpha: float
    beta: float
    merge_gradients: bool
    single_head: bool
    expand: float
    churn: float
    shrink_by_churn: bool
    score: Literal["misclassified", "forgetting"]


_PUBLISHED = (
    Recipe(
        name="paper",
        alpha=0.5,
        beta=1.0,
        merge_gradients=False,
        single_head=True,
        expand=0.01,
        churn=0.005,
        shrink_by_churn=False,
        score="misclassified",
    ),
    Recipe(
        name="reference-code",
        alpha=0.5,
        beta=0.0,
        merge_gradients=True,
        single_head=False,
        expand=0.01,
        churn=0.01,
        shrink_by_churn=True,
        score="forgetting",
    ),
)
RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in _PUBLISHED}


def churn_and_expand(density: float, recipe: Recipe) -> tuple[float, float]:
    """The shares of all weights that an exchange removes and an expansion adds at this density."""
    # A share of all weights can exceed what is kept at extreme sparsity, or what is free in a nearly dense layer.
    return min(recipe.churn, density / 2), min(recipe.expand, density / 2, 1.0 - density)
