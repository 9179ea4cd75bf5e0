"""The program made from the options and the schedule: shares as whole numbers, and the names that it works on."""

import dataclasses
from typing import Any

import pytest

from sparcl_compile.compiling.loop import program_for
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.program import Event, Program
from sparcl_compile.plan.plan import SparsityPlan
from sparcl_compile.plan.schedule import MaskUpdate, Removal, Schedule, group_updates, schedule_for
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.recipes import RECIPES
from tests.support.described import state
from tests.support.program_text import text

LEVELS = {"size": (40,), "base": (10,), "shrunk": (9,), "grown": (11,)}
NOTHING = Schedule({}, (), (), (), 0)
STATE = (
    state("w.exp_avg", "optimizer", (40,), "zeros"),
    state("bn.mean", "running_stat", (4,), "file"),
    state("w", "parameter", (40,), "file"),
    state("frozen", "frozen", (4,), "file"),
    state("sample_keep", "sample", ("samples",), "ones"),
    state("w.g1", "measured", (40,), "zeros"),
    state("sample_score", "sample", ("samples",), "zeros", "int64"),
    state("w.g2", "measured", (40,), "zeros"),
)


def program(schedule: Schedule = NOTHING, graphs: tuple[str, ...] = (), **chosen: Any) -> Program:
    options = CompileOptions(**chosen)
    return program_for(options, plan(schedule, options), STATE, graphs)


def plan(schedule: Schedule, options: CompileOptions) -> SparsityPlan:
    return SparsityPlan(RECIPES[options.recipe], bool(schedule.levels), False, (), None, {}, {}, schedule)


def updates(*at: float) -> Schedule:
    return dataclasses.replace(
        NOTHING, levels=LEVELS, mask_updates=tuple(MaskUpdate(one, "all", "shrunk", "base") for one in at)
    )


@pytest.mark.parametrize(
    ("at", "wanted"),
    [
        (0.0, (0, 1)),
        (0.1, (1, 10)),
        (sum([0.1] * 3) - 0.2, (1, 10)),  # 0.10000000000000003
        (0.3, (3, 10)),
        (0.1 * 3, (3, 10)),  # 0.30000000000000004
        (0.075, (3, 40)),
        (0.3 / 4 * 3, (9, 40)),
        (1 / 3, (333333333333, 10**12)),
        (1.0, (1, 1)),
    ],
)
def test_a_share_is_the_decimal_number_that_was_meant(at: float, wanted: tuple[int, int]) -> None:
    (event,) = program(updates(at)).events["mask_updates"]
    assert event.at == wanted


def test_mask_updates_name_their_levels() -> None:
    made = program(updates(0.1, 0.2))
    feeds = {"remove_to": "level.shrunk", "grow_to": "level.base"}
    assert made.events["mask_updates"] == (Event((1, 10), "all", feeds), Event((1, 5), "all", feeds))
    assert made.vectors == {f"level.{name}": counts for name, counts in LEVELS.items()}


def test_removals_say_how_much_is_gone_when_they_are_over() -> None:
    removals = (Removal(0.1, 0.075), Removal(0.2, 0.15), Removal(0.4, 0.3))
    made = program(dataclasses.replace(NOTHING, removals=removals))
    found = [(event.at, event.tasks, event.feeds) for event in made.events["removals"]]
    assert found == [
        ((1, 10), "all", {"share": (3, 40)}),
        ((1, 5), "all", {"share": (3, 20)}),
        ((2, 5), "all", {"share": (3, 10)}),
    ]


@pytest.mark.parametrize("removal", [0.3, 0.4, 0.35, 0.1])
def test_the_stages_of_the_recipe_add_up_to_the_whole(removal: float) -> None:
    options = CompileOptions(data_removal=removal)
    made = program(schedule_for({}, (), (), options), data_removal=removal)
    shares = [event.feeds["share"] for event in made.events["removals"]]
    numerator, denominator = shares[-1]  # type: ignore[misc]
    assert numerator / denominator == removal  # type: ignore[operator]
    assert [event.at for event in made.events["removals"]] == [(1, 10), (1, 5), (3, 10), (2, 5)]


def test_what_is_turned_off_leaves_no_vectors_and_no_events() -> None:
    chosen = {"sparsity": 0.0, "gradient_sparsity": 0.0, "data_removal": 0.0}
    options = CompileOptions(**chosen)  # type: ignore[arg-type]
    updates = group_updates(RECIPES[options.recipe])
    made = program(schedule_for(LEVELS, updates, (8,), options), **chosen)
    assert (made.vectors, made.events) == ({}, {})


def test_gradients_alone_need_no_levels() -> None:
    schedule = dataclasses.replace(NOTHING, levels=LEVELS, gradient_keep=(8,), gradient_refresh_steps=30)
    made = program(schedule)
    assert made.vectors == {"gradient_keep": (8,)}
    assert "when masks_stale or task_step every 30:" in text(made.blocks["step"])


def test_it_works_on_the_state_by_role_in_the_order_of_check_state() -> None:
    made = program(updates(0.1))
    assert text(made.blocks["begin_task"]).splitlines()[0] == "reset sample_keep, sample_score"
    assert "reset w.g1, w.g2" in text(made.blocks["update_masks"])
    assert "in ['w', 'w.exp_avg', 'bn.mean']" in text(made.blocks["end_epoch"])


@pytest.mark.parametrize("graphs", [(), ("optimizer",)])
def test_the_optimizer_is_run_where_it_is(graphs: tuple[str, ...]) -> None:
    assert ("optimizer(" in text(program(graphs=graphs).blocks["move"])) == bool(graphs)


@pytest.mark.parametrize(("recipe", "own"), [("paper", True), ("reference-code", False)])
def test_the_recipe_says_what_is_measured(recipe: str, own: bool) -> None:
    assert ("class_mask=current.own_mask" in text(program(updates(0.1), recipe=recipe).blocks["measure"])) == own


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(OptionError, match="gem"):
        program(method="gem")
