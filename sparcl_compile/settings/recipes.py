"""The two published ways of running SparCL."""

from collections.abc import Mapping

from sparcl_compile.interface.schedule import Recipe

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
