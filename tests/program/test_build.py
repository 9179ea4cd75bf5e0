"""Programs as text, for every way of replay, with and without masks."""

import dataclasses
from collections.abc import Sequence

import pytest

from sparcl_compile.cli.compile import compile_command
from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.program import Event, Program
from sparcl_compile.program.batches import FIELDS, FIRST_TASK
from sparcl_compile.program.build import COUNTERS, build
from sparcl_compile.program.methods import parts_of
from sparcl_compile.settings.methods import METHODS, Replay, ReplayBatch, loss_classes_of, method_of, replayed_labels
from sparcl_compile.settings.options import CompileOptions
from tests.support.program_text import text
from tests.support.programs import settings
from tests.support.step_text import COUNTED, CURRENT, FINITE, OPTIMIZER, STORED, block_of, check, drawn, trained

UPDATES = (Event((1, 10), "all", {"remove_to": "level.shrunk", "grow_to": "level.base"}),)
REMOVALS = (Event((1, 10), "all", {"share": (3, 40)}),)
SPARSE = {
    "mask_updates": UPDATES,
    "removals": REMOVALS,
    "vectors": {"level.base": (3,), "level.shrunk": (2,), "gradient_keep": (2,)},
    "refresh_steps": 30,
    "measured": ("w.g1", "w.g2"),
}


def program(replay: str = "finetune", **changes: object) -> Program:
    return build(settings(replay=METHODS[replay].replay, **changes))


# What all programs have in common


def test_the_blocks_around_a_step() -> None:
    made = program()
    check(made, "class_order", "class_order(key=[class_order_seed, 0, 0], classes=classes_in_data)")
    check(
        made,
        "statistics",
        """
        reset data.sum, data.squares, data.count
        rows of data, 256 at most, as seen:
          sum_pixels(x=seen.raw)
        rows of data, 256 at most, as seen:
          sum_squares(x=seen.raw)
        statistics()
        reset data.sum, data.squares, data.count
        """,
    )
    check(
        made,
        "begin_task",
        """
        reset sample_keep
        task_step = 0
        removed = 0
        done = 0
        total = 1
        """,
    )
    check(
        made,
        "begin_epoch",
        """
        reset epoch.loss, epoch.steps
        sparsity() -> now.*
        order(key=[seed, task, epoch], batch=batch)
        total = steps
        position = 0
        done = 0
        """,
    )
    check(
        made,
        "end_epoch",
        """
        check_state()
        when broken >= 0:
          fail '{} is no longer finite' of broken in ['w']
        sparsity() -> now.*
        epoch += 1
        """,
    )
    check(
        made,
        "end_task",
        """
        each of to task:
          reset score.correct, score.seen
          rows of test, 256 at most, as tested:
            standardise(x=tested.raw) -> x_ready as tested.x
            eval(tested.*) -> tested.*
            count_correct(tested.*)
          record(task=task, of=of)
        task += 1
        epoch = 0
        """,
    )
    check(
        made,
        "close_task",
        """
        task += 1
        epoch = 0
        """,
    )
    check(
        made,
        "end_run",
        """
        summary() -> result.*
        sparsity() -> result.*
        flops(samples_seen=samples_seen, samples_replayed=samples_replayed, samples_measured=samples_measured) -> \
result.*
        """,
    )


def test_the_blocks_of_a_learner() -> None:
    made = program()
    answered = """
        standardise(x=asked.raw) -> x_ready as asked.x
        eval(asked.*) -> asked.*
        probabilities(asked.*)
        """
    check(made, "predict", answered)
    check(made, "begin_score", "reset score.class_correct, score.class_seen")
    check(made, "score", f"{answered.rstrip()}\n        count_by_class(asked.*, best=best)")
    check(
        made,
        "report",
        """
        class_accuracy() -> result.*
        sparsity() -> result.*
        flops(samples_seen=samples_seen, samples_replayed=samples_replayed, samples_measured=samples_measured) -> \
result.*
        """,
    )
    assert made.kept == ("order", "position", "length", "done", "total", "now.overall")


def test_images_are_resized_where_the_model_takes_one_size() -> None:
    assert "resize" not in program().blocks
    check(program(resizes=True), "resize", "resize(given.*)")


def test_the_first_batch_may_have_a_graph_of_its_own() -> None:
    made = text(program("er").blocks["move"])
    other = text(program("er", first="train_first").blocks["move"])
    # One for the batch alone, and one for the batch before a replayed one.
    assert made.count("train(current.*") == other.count("train_first(current.*") == 2
    assert other.replace("train_first", "train") == made


# Fine-tuning


def test_fine_tuning() -> None:
    made = program()
    check(made, "step", block_of(CURRENT, "call move", COUNTED))
    check(made, "move", block_of(trained("current", indent=""), FINITE, OPTIMIZER))
    assert made.blocks.keys() == {
        "class_order", "statistics", "begin_task", "begin_epoch", "step", "move", "end_epoch", "end_task", "end_run",
        "close_task", "predict", "begin_score", "score", "report",
    }  # fmt: skip
    assert (made.events, made.vectors) == ({}, {})
    assert made.counters == COUNTERS


def test_where_training_moves_the_parameters_no_optimizer_is_run() -> None:
    check(program(optimizer=False), "move", block_of(trained("current", indent=""), FINITE))


def test_a_rate_that_falls_is_computed_before_a_step_and_used_in_all_of_it() -> None:
    decay = "decay(learning_rate=learning_rate, epoch=epoch, epochs=epochs, done=done, total=total)"
    moves = [
        line.replace("learning_rate=learning_rate", "learning_rate=rate")
        for line in (trained("current", indent=""), OPTIMIZER)
    ]
    check(program(decays=True), "move", block_of(decay, moves[0], FINITE, moves[1]))
    alone = block_of(decay, moves[0], FINITE)
    check(program(decays=True, optimizer=False), "move", alone)


# Replay


def test_er_without_masks() -> None:
    made = program("er")
    replay = "when task >= 1:" + drawn(0, 1, 1.0, 0.0)
    counted = "when task >= 1:\n  samples_replayed += rows of replay0.labels"
    check(made, "step", block_of(CURRENT, replay, "call move", STORED, COUNTED, counted))
    both, alone = trained("current", "replay0"), trained("current")
    check(made, "move", block_of("when task >= 1:", both, "else:", alone, FINITE, OPTIMIZER))


def test_er_merged() -> None:
    made = program("er", merged=True, optimizer=False)
    merged = "  merge(first.*=current.*, second.*=replay0.*) -> whole.*"
    replay = block_of("when task >= 1:", drawn(0, 1, 1.0, 0.0), merged)
    counted = "when task >= 1:\n  samples_replayed += rows of replay0.labels"
    check(made, "step", block_of(CURRENT, replay, "call move", STORED, COUNTED, counted))
    check(made, "move", block_of("when task >= 1:", trained("whole"), "else:", trained("current"), FINITE))


TWO = block_of(drawn(0, 0, 0.0, 0.2), drawn(1, 1, 1.0, 0.0))
COUNTED_TWO = """
when task >= 1:
  samples_replayed += rows of replay0.labels
  samples_replayed += rows of replay1.labels
"""


def test_der() -> None:
    made = program("der++")
    step = block_of(CURRENT, "when task >= 1:", TWO, "call move", STORED, COUNTED, COUNTED_TWO)
    check(made, "step", step)
    three = trained("current", "replay0", "replay1")
    check(made, "move", block_of("when task >= 1:", three, "else:", trained("current"), FINITE, OPTIMIZER))


def test_der_merged() -> None:
    made = program("der++", merged=True, optimizer=False)
    merged = """
  merge(first.*=replay0.*, second.*=replay1.*) -> replayed.*
  merge(first.*=current.*, second.*=replayed.*) -> whole.*
"""
    replay = block_of("when task >= 1:", TWO, merged)
    check(made, "step", block_of(CURRENT, replay, "call move", STORED, COUNTED, COUNTED_TWO))
    check(made, "move", block_of("when task >= 1:", trained("whole"), "else:", trained("current"), FINITE))


def test_three_replay_batches_are_merged_one_after_the_other() -> None:
    """No method has three as yet: one with any number of batches is a row of the table."""
    three = Replay(tuple(ReplayBatch(draw, 1.0, 0.0) for draw in range(3)))
    lines = text(build(settings(replay=three, merged=True)).blocks["step"]).splitlines()
    assert [line.strip() for line in lines if "merge" in line] == [
        "merge(first.*=replay0.*, second.*=replay1.*) -> replayed.*",
        "merge(first.*=replayed.*, second.*=replay2.*) -> replayed.*",
        "merge(first.*=current.*, second.*=replayed.*) -> whole.*",
    ]


def test_every_field_of_a_batch_is_merged() -> None:
    (when,) = (op for op in program("er", merged=True).blocks["step"] if "merge" in text((op,)))
    merge = when.then[-1]  # type: ignore[union-attr]
    assert merge.feeds == {f"first.{f}": f"current.{f}" for f in FIELDS} | {
        f"second.{f}": f"replay0.{f}" for f in FIELDS
    }  # type: ignore[union-attr]


# Masks

CHOSEN = """
when masks_stale or task_step every 30:
  call choose_gradients
"""
DUE = """
due mask_updates:
  call measure
  call update_masks
due removals:
  remove_samples(share=event.share, removed=removed, order=order, position=position, batch=batch, done=done) -> \
new_order as order, new_position as position, length as length, removed_total as removed
  samples_removed += removed_now
  total = steps
"""


def test_masks_without_replay() -> None:
    made = program(**SPARSE)
    check(made, "step", block_of(CURRENT, CHOSEN, "call move", COUNTED, DUE))
    check(
        made,
        "measure",
        """
        measure(current.*, lazy_reset_grad=1, class_mask=current.own_mask) into g1 -> measured.*
        samples_measured += rows of current.labels
        """,
    )
    check(
        made,
        "update_masks",
        """
        update_masks(key=[seed, mask_updates, 0], remove_to=event.remove_to, grow_to=event.grow_to)
        reset w.g1, w.g2
        mask_updates += 1
        masks_stale = 1
        """,
    )
    check(
        made,
        "choose_gradients",
        """
        call measure
        update_gradient_masks(keep=gradient_keep)
        reset w.g1, w.g2
        masks_stale = 0
        """,
    )
    assert text(made.blocks["begin_task"]).splitlines()[-2:] == ["due mask_updates:", "  call update_masks"]
    assert made.events == {"mask_updates": UPDATES, "removals": REMOVALS}
    assert made.vectors == SPARSE["vectors"]


def test_masks_and_der() -> None:
    made = program("der++", **SPARSE)
    step = block_of(CURRENT, "when task >= 1:", TWO, CHOSEN, "call move", STORED, COUNTED, COUNTED_TWO, DUE)
    check(made, "step", step)


MEASURED_ALONE = "measure(current.*, lazy_reset_grad=1) into g1 -> measured.*"


@pytest.mark.parametrize(
    ("replay", "merged", "wanted"),
    [
        ("er", False, ["measure(replay0.*, lazy_reset_grad=1) into g2 -> measured.*"]),
        ("er", True, ["measure(replay0.*, lazy_reset_grad=1) into g2 -> measured.*"]),
        (
            "der++",
            False,
            [
                "measure(replay0.*, lazy_reset_grad=1) into g2 -> measured.*",
                "measure(replay1.*, lazy_reset_grad=0) into g2 -> measured.*",
            ],
        ),
        ("der++", True, ["measure(replayed.*, lazy_reset_grad=1) into g2 -> measured.*"]),
    ],
)
def test_two_gradients_are_measured_the_current_one_by_the_tasks_own_classes(
    replay: str, merged: bool, wanted: Sequence[str]
) -> None:
    made = program(replay, merged=merged, **SPARSE)
    lines = text(made.blocks["measure"]).splitlines()
    own = "measure(current.*, lazy_reset_grad=1, class_mask=current.own_mask) into g1 -> measured.*"
    assert lines[: 2 + len(wanted)] == [own, "when task >= 1:", *(f"  {line}" for line in wanted)]
    batches = len(METHODS[replay].replay.batches)
    counted = [f"  samples_measured += rows of replay{number}.labels" for number in range(batches)]
    assert lines[2 + len(wanted) :] == ["samples_measured += rows of current.labels", "when task >= 1:", *counted]


@pytest.mark.parametrize(
    ("replay", "merged", "wanted"),
    [
        (
            "der++",
            False,
            [
                MEASURED_ALONE,
                "measure(replay0.*, lazy_reset_grad=0) into g1 -> measured.*",
                "measure(replay1.*, lazy_reset_grad=0) into g1 -> measured.*",
            ],
        ),
        ("der++", True, ["measure(whole.*, lazy_reset_grad=1) into g1 -> measured.*"]),
        (
            "er",
            False,
            [MEASURED_ALONE, "measure(replay0.*, lazy_reset_grad=0) into g1 -> measured.*"],
        ),
    ],
)
def test_one_gradient_is_measured_over_all_batches(replay: str, merged: bool, wanted: Sequence[str]) -> None:
    made = program(replay, merged=merged, one_gradient=True, single_head=False, **SPARSE)
    lines = text(made.blocks["measure"]).splitlines()
    expected = ["when task >= 1:", *(f"  {line}" for line in wanted), "else:", f"  {MEASURED_ALONE}"]
    assert lines[: len(expected)] == expected


def test_one_gradient_without_replay_is_that_of_the_current_batch() -> None:
    made = program(one_gradient=True, single_head=False, **SPARSE)
    assert text(made.blocks["measure"]).splitlines()[0] == MEASURED_ALONE


def test_weights_alone_are_sparse() -> None:
    """Without gradient masks nothing is chosen, and what is measured is for the updates."""
    made = program(**{**SPARSE, "vectors": {"level.base": (3,)}, "removals": ()})
    check(
        made, "step", block_of(CURRENT, "call move", COUNTED, "due mask_updates:\n  call measure\n  call update_masks")
    )
    assert "choose_gradients" not in made.blocks
    assert made.events.keys() == {"mask_updates"}


def test_gradients_alone_are_sparse() -> None:
    made = program(**{**SPARSE, "vectors": {"gradient_keep": (2,)}, "mask_updates": (), "removals": ()})
    check(made, "step", block_of(CURRENT, CHOSEN, "call move", COUNTED))
    assert "update_masks" not in made.blocks
    assert made.events == {}


# The table of methods


def test_replay_settings() -> None:
    assert METHODS["finetune"].replay == Replay()
    assert METHODS["er"].replay == Replay((ReplayBatch(draw=1, ce=1.0, distill=0.0),))
    assert [(batch.ce, batch.distill) for batch in METHODS["der"].replay.batches] == [(0.0, 0.3)]
    assert [(batch.ce, batch.distill) for batch in METHODS["der++"].replay.batches] == [(0.0, 0.2), (1.0, 0.0)]
    assert FIRST_TASK == 1


@pytest.mark.parametrize(
    ("method", "weights", "wanted"),
    [
        ("der++", {"logit_weight": 0.1}, [(0.0, 0.1), (1.0, 0.0)]),
        ("der++", {"label_weight": 0.5}, [(0.0, 0.2), (0.5, 0.0)]),
        ("der", {"logit_weight": 1.0}, [(0.0, 1.0)]),
        ("er-ace", {"label_weight": 2.0}, [(2.0, 0.0)]),
        ("finetune", {}, []),
    ],
)
def test_the_options_weigh_the_replay(
    method: str, weights: dict[str, float], wanted: list[tuple[float, float]]
) -> None:
    found = method_of(CompileOptions(method=method, sparsity=0.0, **weights)).replay.batches  # type: ignore[arg-type]
    assert [(batch.ce, batch.distill) for batch in found] == wanted
    assert [batch.draw for batch in found] == [batch.draw for batch in METHODS[method].replay.batches]


@pytest.mark.parametrize(
    ("method", "given", "current", "replayed", "weight"),
    [
        ("der++", None, "balanced", "balanced", 1.0),
        ("er", None, "balanced", "balanced", 1.0),
        ("der++", "balanced", "balanced", "balanced", 1.0),
        ("der++", "all", "all", "all", 1.0),
        ("er", "task", "task", "all", 1.0),
        ("der", None, "all", "all", 0.0),
        ("a-gem", None, "all", "all", 1.0),
        ("er-ace", None, "batch", "seen", 1.0),
        ("finetune", None, "all", "all", 0.0),
    ],
)
def test_the_classes_of_the_loss(method: str, given: str | None, current: str, replayed: str, weight: float) -> None:
    options = CompileOptions(method=method, loss_classes=given)
    assert loss_classes_of(options) == current
    assert method_of(options).replay.classes == replayed
    assert replayed_labels(options) == weight


@pytest.mark.parametrize("method", ["finetune", "joint", "der", "fdr", "icarl", "a-gem", "ewc"])
def test_balanced_classes_need_replayed_labels(method: str) -> None:
    with pytest.raises(FieldError, match=r"has no replayed labels in its loss.*leave `loss_classes` out"):
        CompileOptions(method=method, loss_classes="balanced")


@pytest.mark.parametrize(("given", "weight"), [(None, 1.0), (3.0, 3.0)])
def test_the_weight_of_exemplars_is_that_of_the_option(given: float | None, weight: float) -> None:
    """The targets of a replayed batch come with its weights, in the place of those that it was drawn with."""
    method = method_of(CompileOptions(method="icarl", logit_weight=given))
    made = program("icarl", parts=parts_of(method, (), (), "rate"))
    targets = [line.strip() for line in text(made.blocks["step"]).splitlines() if "sigmoid_targets(" in line]
    names = (("current", "outputs", 1.0), ("replay0", "distill_target", weight))
    assert targets == [
        f"sigmoid_targets({name}.*, outputs={name}.{outputs}, distill={number}, classes=current.classes) -> {name}.*"
        for name, outputs, number in names
    ]


def test_every_method_of_the_command_is_in_the_table() -> None:
    (option,) = (param for param in compile_command.params if param.name == "method")
    assert tuple(option.type.choices) == tuple(METHODS)  # type: ignore[attr-defined]
    assert all(method.source for method in METHODS.values())


def test_a_replayed_batch_over_the_seen_classes_is_told_those_of_the_task() -> None:
    made = program("er-ace")
    assert "replay_batch(key=[seed, step, 1], batch=batch, ce=1.0, distill=0.0, classes=current.classes)" in text(
        made.blocks["step"]
    )


def test_draws_of_one_step_have_numbers_of_their_own() -> None:
    for method in METHODS.values():
        draws = [batch.draw for batch in method.replay.batches]
        assert len(set(draws)) == len(draws)


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings().merged = True  # type: ignore[misc]


@pytest.mark.parametrize("replay", METHODS)
def test_series_are_changed_by_their_own_graph(replay: str) -> None:
    images, series = program(replay), program(replay, augment="jitter_shift_scale")
    told = [text(made.blocks["step"]) for made in (images, series)]
    assert told[0].count("crop_flip(") == 1 + len(METHODS[replay].replay.batches)
    assert told[0].replace("crop_flip(", "jitter_shift_scale(") == told[1]


def test_snip_scores_the_first_batches_and_goes_back_to_the_first() -> None:
    levels = {"remove_to": "level.base", "grow_to": "level.base"}
    made = program(first_masks=levels, measured=("w.g1",), vectors={"level.base": (3,)}, updates_measure=True)
    assert text(made.blocks["begin_epoch"]).splitlines()[-3:] == ["when step:", "else:", "  call first_masks"]
    check(
        made,
        "first_masks",
        """
        reset w.g1
        last = total
        last += -1
        each scored to last:
          when scored >= 10:
          else:
            slice order at position, batch until length, as current.sample_id
            gather current.sample_id as current
            when augment:
              crop_flip(x=current.raw, key=[seed, step, 0]) -> x_ready as current.x
            else:
              standardise(x=current.raw) -> x_ready as current.x
            batch(current.*) -> current.*
            measure(current.*, lazy_reset_grad=0) into g1 -> measured.*
            samples_measured += rows of current.labels
        update_masks(key=[seed, mask_updates, 0], remove_to=level.base, grow_to=level.base)
        reset w.g1
        mask_updates += 1
        masks_stale = 1
        position = 0
        """,
    )


def test_updates_that_read_no_gradient_are_not_measured_for() -> None:
    made = program(**{**SPARSE, "measured": (), "refresh_steps": 0, "updates_measure": False,
                      "vectors": {"level.base": (3,), "level.shrunk": (2,)}})  # fmt: skip
    assert "measure" not in made.blocks
    assert "call measure" not in text(made.blocks["step"])
    check(
        made,
        "update_masks",
        """
        update_masks(key=[seed, mask_updates, 0], remove_to=event.remove_to, grow_to=event.grow_to)
        mask_updates += 1
        masks_stale = 1
        """,
    )
