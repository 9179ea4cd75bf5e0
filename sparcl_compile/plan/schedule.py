"""The events of a task, as fractions of its steps."""

import dataclasses
from collections.abc import Mapping, Sequence

from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.policies import BASE as USUAL
from sparcl_compile.settings.policies import Level, Policy, Tasks
from sparcl_compile.settings.recipes import Recipe

UPDATES = tuple(i / 10 for i in range(1, 10))
REMOVALS = (0.1, 0.2, 0.3, 0.4)
GRADIENT_REFRESH_STEPS = 30
SIZE, BASE, SHRUNK, GROWN, RENEWED = "size", "base", "shrunk", "grown", "renewed"
"""Names of levels."""


@dataclasses.dataclass(frozen=True)
class MaskUpdate:
    """A mask update.

    Attributes:
        at: the fraction of a task's steps at which it is due.
        tasks: the tasks that have it.
        remove_to: the level that is left after the removal.
        grow_to: the level that is reached by the growth.
    """

    at: float
    tasks: Tasks
    remove_to: str
    grow_to: str


@dataclasses.dataclass(frozen=True)
class Removal:
    """A stage of data removal: ``removed`` is the share of a task's samples that has left when it is over."""

    at: float
    removed: float


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The counts and events of a task.

    Attributes:
        levels: by name the kept groups of each masked weight, or under scheme ``channel`` the kept units of each space.
        mask_updates: by rising fraction.
        removals: by rising fraction.
        gradient_keep: the feed ``keep`` of the graph that updates gradient masks: weights, or channels, of each layer.
        gradient_refresh_steps: steps between two choices of the gradient masks; 0 where there are none.
    """

    levels: Mapping[str, tuple[int, ...]]
    mask_updates: tuple[MaskUpdate, ...]
    removals: tuple[Removal, ...]
    gradient_keep: tuple[int, ...]
    gradient_refresh_steps: int


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


def policy_levels(policy: Policy) -> dict[Level, str]:
    """The names of the levels of a mask policy's updates."""
    levels = dict.fromkeys(level for one in policy.exchanges for level in (one.remove_to, one.grow_to))
    others = [level for level in levels if level != USUAL]
    return {USUAL: BASE, **{level: exchange(number) for number, level in enumerate(others, 1)}}


def policy_updates(policy: Policy) -> tuple[MaskUpdate, ...]:
    """The mask updates of a task under a mask policy that has its own."""
    names = policy_levels(policy)
    return tuple(MaskUpdate(one.at, one.tasks, names[one.remove_to], names[one.grow_to]) for one in policy.exchanges)


def schedule_for(
    levels: Mapping[str, Sequence[int]], updates: Sequence[MaskUpdate], keep: Sequence[int], options: CompileOptions
) -> Schedule:
    """The schedule as the manifest holds it; a part that is turned off has no events.

    Args:
        levels: by name the kept groups of each layer, or units of each space.
        updates: the mask updates of a task.
        keep: of each layer how many weights, or output channels, the gradient masks keep.
        options: of the compilation.
    """
    stages = len(REMOVALS)
    removals = [Removal(at, options.data_removal * (i + 1) / stages) for i, at in enumerate(REMOVALS)]
    return Schedule(
        levels={level: tuple(counts) for level, counts in levels.items()},
        mask_updates=tuple(updates) if keep and options.sparsity > 0.0 else (),
        removals=tuple(removals) if options.data_removal > 0.0 else (),
        gradient_keep=tuple(keep),
        gradient_refresh_steps=GRADIENT_REFRESH_STEPS if keep and options.masks_gradients else 0,
    )
