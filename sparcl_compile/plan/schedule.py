"""The events of a task, as fractions of its steps."""

from collections.abc import Sequence

from sparcl_compile.plan.layers import Layer
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.recipes import RECIPES

UPDATES = tuple(i / 10 for i in range(1, 10))
REMOVALS = (0.1, 0.2, 0.3, 0.4)
GRADIENT_REFRESH_STEPS = 30
NEVER_LEARNED_SCORE = 50


def schedule_for(layers: Sequence[Layer], options: CompileOptions) -> dict[str, object]:
    """The schedule as the manifest holds it: fractions of a task, and counts a layer for each level."""
    recipe = RECIPES[options.recipe]
    first = [{"at": 0.0, "tasks": "later", "remove_to": "size", "grow_to": "grown"}]
    exchange = {"remove_to": "shrunk", "grow_to": "base"}
    if recipe.shrink_by_churn:
        second = [{"at": UPDATES[0], "tasks": "all", **exchange}]
    else:
        second = [
            {"at": UPDATES[0], "tasks": "first", **exchange},
            {"at": UPDATES[0], "tasks": "later", "remove_to": "base", "grow_to": "base"},
        ]
    rest = [{"at": at, "tasks": "all", **exchange} for at in UPDATES[1:]]
    stages = len(REMOVALS)
    removals = [{"at": at, "removed": options.data_removal * (i + 1) / stages} for i, at in enumerate(REMOVALS)]
    return {
        "levels": {
            "size": [layer.groups.size for layer in layers],
            "base": [layer.groups.base for layer in layers],
            "shrunk": [layer.groups.shrunk for layer in layers],
            "grown": [layer.groups.grown for layer in layers],
        },
        "mask_updates": [*first, *second, *rest] if layers and options.sparsity > 0.0 else [],
        "removals": removals if options.data_removal > 0.0 else [],
        "gradient_keep": [layer.gradient_keep for layer in layers],
        "gradient_refresh_steps": GRADIENT_REFRESH_STEPS if layers and options.gradient_sparsity > 0.0 else 0,
    }
