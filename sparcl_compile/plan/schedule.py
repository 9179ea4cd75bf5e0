"""The events of a task, as fractions of its steps."""

from collections.abc import Mapping, Sequence

from sparcl_compile.interface.schedule import MaskUpdate, Recipe, Removal, Schedule, Tasks
from sparcl_compile.settings.options import CompileOptions

UPDATES = tuple(i / 10 for i in range(1, 10))
REMOVALS = (0.1, 0.2, 0.3, 0.4)
GRADIENT_REFRESH_STEPS = 30
SIZE, BASE, SHRUNK, GROWN, RENEWED = "size", "base", "shrunk", "grown", "renewed"
"""Names of levels."""


def exchange(number: int) -> str:
    """The level that the exchange of channels of this number, from 1, leaves before it grows others."""
    return f"exchange{number}"


def group_updates(recipe: Recipe) -> tuple[MaskUpdate, ...]:
    """The mask updates of a task where groups of single layers are exchanged."""
    first = MaskUpdate(0.0, "later", SIZE, GROWN)
    rest = [MaskUpdate(at, "all", SHRUNK, BASE) for at in UPDATES[1:]]
    if recipe.shrink_by_churn:
        return (first, MaskUpdate(UPDATES[0], "all", SHRUNK, BASE), *rest)
    ends = (MaskUpdate(UPDATES[0], "first", SHRUNK, BASE), MaskUpdate(UPDATES[0], "later", BASE, BASE))
    return (first, *ends, *rest)


def channel_updates(recipe: Recipe) -> tuple[MaskUpdate, ...]:
    """The mask updates of a task where units of channel spaces are exchanged."""
    updates = [MaskUpdate(at, _tasks(number, recipe), exchange(number), BASE) for number, at in enumerate(UPDATES, 1)]
    return (MaskUpdate(0.0, "later", RENEWED, BASE), *updates)


def _tasks(number: int, recipe: Recipe) -> Tasks:
    """The tasks of an update: the paper's first one only ends the expansion of a later task, and here there is none."""
    return "all" if number > 1 or recipe.shrink_by_churn else "first"


def schedule_for(
    levels: Mapping[str, Sequence[int]], updates: Sequence[MaskUpdate], keep: Sequence[int], options: CompileOptions
) -> Schedule:
    """The schedule as the manifest holds it; what is turned off has no events.

    Args:
        levels: by name the kept groups of each layer, or units of each space.
        updates: the mask updates of a task.
        keep: of each layer how many weights, or output channels, the gradient masks keep.
        options: what was asked for.
    """
    stages = len(REMOVALS)
    removals = [Removal(at, options.data_removal * (i + 1) / stages) for i, at in enumerate(REMOVALS)]
    return Schedule(
        levels={level: tuple(counts) for level, counts in levels.items()},
        mask_updates=tuple(updates) if keep and options.sparsity > 0.0 else (),
        removals=tuple(removals) if options.data_removal > 0.0 else (),
        gradient_keep=tuple(keep),
        gradient_refresh_steps=GRADIENT_REFRESH_STEPS if keep and options.gradient_sparsity > 0.0 else 0,
    )
