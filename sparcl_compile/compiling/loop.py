"""The program of an artifact, from the options and what the compilation has left."""

from collections.abc import Collection, Sequence
from fractions import Fraction

from sparcl_compile.compiling.side_graphs import learned
from sparcl_compile.interface.names import AUGMENTS, Role
from sparcl_compile.interface.program import Event, Program
from sparcl_compile.interface.specs import StateSpec
from sparcl_compile.plan.plan import SparsityPlan
from sparcl_compile.plan.schedule import BASE, Schedule
from sparcl_compile.program.build import KEEP, LEARNING_RATE, RATE, Settings, build
from sparcl_compile.program.masks import LEVELS
from sparcl_compile.program.methods import parts_of
from sparcl_compile.settings.methods import method_of
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.policies import smooths, work_moves


def program_for(
    options: CompileOptions, plan: SparsityPlan, state: Sequence[StateSpec], graphs: Collection[str], classes: int = 1
) -> Program:
    """Make the program.

    Args:
        options: what was compiled to.
        plan: what is kept, and the counts and events of a task.
        state: every state tensor.
        graphs: the names of the artifact's graphs.
        classes: the size of the model's head.
    """
    recipe, schedule = plan.recipe, plan.schedule
    scores = plan.masks and plan.policy.scores_first
    rate = RATE if options.rate_decay > 0.0 else LEARNING_RATE
    vectors = {level_name(level): counts for level, counts in schedule.levels.items()}
    keep = {KEEP: schedule.gradient_keep} if schedule.gradient_refresh_steps else {}
    return build(
        Settings(
            replay=method_of(options).replay,
            merged=options.replay_batches == "merged",
            one_gradient=recipe.merge_gradients,
            single_head=recipe.single_head,
            mask_updates=_mask_updates(schedule),
            removals=_removals(schedule),
            vectors={**(vectors if schedule.mask_updates or scores else {}), **keep},
            refresh_steps=schedule.gradient_refresh_steps,
            optimizer="optimizer" in graphs,
            decays=options.rate_decay > 0.0,
            samples=_names(state, Role.SAMPLE),
            measured=_names(state, Role.MEASURED),
            learned=tuple(spec.name for spec in learned(state)),
            augment=AUGMENTS[AUGMENTS[True] in graphs],
            updates_measure=plan.updates_measure,
            parts=parts_of(
                method_of(options),
                _names(state, Role.PARAMETER),
                _names(state, Role.OPTIMIZER),
                rate,
                _names(state, Role.RUNNING_STAT),
            ),
            fills=method_of(options).fills == "steps",
            train=method_of(options).train,
            least_buffer=classes if method_of(options).fills == "exemplars" else 1,
            first_masks={name: level_name(BASE) for name in LEVELS} if scores else {},
            work_moves=work_moves(options),
            smooths=smooths(options),
            masks_each_step=plan.masks and plan.policy.straight_through,
            in_apps=method_of(options).in_apps,
            resizes="resize" in graphs,
            first="train_first" if "train_first" in graphs else "train",
        )
    )


def level_name(level: str) -> str:
    """Return the name of the vector with the kept counts of a level."""
    return f"level.{level}"


def _names(state: Sequence[StateSpec], role: Role) -> tuple[str, ...]:
    return tuple(spec.name for spec in state if spec.role is role)


def _mask_updates(schedule: Schedule) -> tuple[Event, ...]:
    return tuple(
        Event(
            at=_ratio(update.at),
            tasks=update.tasks,
            feeds={"remove_to": level_name(update.remove_to), "grow_to": level_name(update.grow_to)},
        )
        for update in schedule.mask_updates
    )


def _removals(schedule: Schedule) -> tuple[Event, ...]:
    return tuple(Event(_ratio(stage.at), "all", {"share": _ratio(stage.removed)}) for stage in schedule.removals)


def _ratio(share: float) -> tuple[int, int]:
    """A decimal number as the integers that it stands for, which every platform compares alike."""
    return Fraction(str(round(share, 12))).as_integer_ratio()
