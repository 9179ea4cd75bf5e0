"""The two published ways of running SparCL, and the counts and events that follow from them for one model."""

import dataclasses
from collections.abc import Mapping

from sparcl_compile.graphs.filter_samples import Score


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One recipe's numbers (docs/algorithm.md gives the source of each).

    Attributes:
        alpha: weight of the current task's gradient in CWI and CGI.
        beta: weight of the replay gradient.
        merge_gradients: measure one gradient over current and replay batches instead of two.
        single_head: mask other tasks' classes while measuring the current batch.
        expand: share of all weights grown at the start of a later task (p_inter).
        churn: share of all weights removed and grown again at an update (p_intra).
        shrink_by_churn: whether the update that ends the expansion also exchanges ``churn`` weights.
        score: what the sample filter counts.
    """

    alpha: float
    beta: float
    merge_gradients: bool
    single_head: bool
    expand: float
    churn: float
    shrink_by_churn: bool
    score: Score


RECIPES: Mapping[str, Recipe] = {
    "paper": Recipe(0.5, 1.0, False, True, 0.01, 0.005, False, "misclassified"),
    "reference-code": Recipe(0.5, 0.0, True, False, 0.01, 0.01, True, "forgetting"),
}
