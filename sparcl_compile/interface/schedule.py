"""What a run does when, from which its program is made (docs/algorithm.md has the source of each number)."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

Tasks = Literal["first", "later", "all"]
"""The tasks that an event belongs to."""


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
