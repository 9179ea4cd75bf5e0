"""The events of a task, as fractions of its steps."""

from collections.abc import Sequence

from sparcl_compile.interface.schedule import MaskUpdate, Removal, Schedule
from sparcl_compile.plan.layers import Layer
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.recipes import RECIPES

UPDATES = tuple(i / 10 for i in range(1, 10))
REMOVALS = (0.1, 0.2, 0.3, 0.4)
GRADIENT_REFRESH_STEPS = 30


def schedule_for(layers: Sequence[Layer], options: CompileOptions) -> Schedule:
    """The schedule as the manifest holds it: fractions of a task, and counts a layer for each level."""
    recipe = RECIPES[options.recipe]
    first = [MaskUpdate(0.0, "later", "size", "grown")]
    if recipe.shrink_by_churn:
        second = [MaskUpdate(UPDATES[0], "all", "shrunk", "base")]
    else:
        second = [MaskUpdate(UPDATES[0], "first", "shrunk", "base"), MaskUpdate(UPDATES[0], "later", "base", "base")]
    rest = [MaskUpdate(at, "all", "shrunk", "base") for at in UPDATES[1:]]
    stages = len(REMOVALS)
    removals = [Removal(at, options.data_removal * (i + 1) / stages) for i, at in enumerate(REMOVALS)]
    return Schedule(
        levels={
            "size": tuple(layer.groups.size for layer in layers),
            "base": tuple(layer.groups.base for layer in layers),
            "shrunk": tuple(layer.groups.shrunk for layer in layers),
            "grown": tuple(layer.groups.grown for layer in layers),
        },
        mask_updates=(*first, *second, *rest) if layers and options.sparsity > 0.0 else (),
        removals=tuple(removals) if options.data_removal > 0.0 else (),
        gradient_keep=tuple(layer.gradient_keep for layer in layers),
        gradient_refresh_steps=GRADIENT_REFRESH_STEPS if layers and options.gradient_sparsity > 0.0 else 0,
    )
