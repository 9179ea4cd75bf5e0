"""The program of an artifact: the blocks that a driver calls, made from what the user asked for."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

from sparcl_compile.interface.program import (
    Block,
    Call,
    Column,
    Condition,
    Count,
    Due,
    Event,
    Fail,
    Program,
    Reset,
    Run,
    Set,
    When,
)
from sparcl_compile.program.batches import (
    CURRENT,
    REPLAYING,
    current_batch,
    measured_replay,
    name_of,
    replay_batches,
    trained_batches,
)
from sparcl_compile.program.fixed import apart, class_order, closed, end_run, evaluate, resize, statistics
from sparcl_compile.program.masks import LEVELS, first_masks, update_masks
from sparcl_compile.program.parts import Parts
from sparcl_compile.program.remembering import written
from sparcl_compile.settings.methods import Replay

COUNTERS = {
    "task": 0,
    "epoch": 0,
    "step": 0,
    "count": 1,
    "task_step": 0,
    "removed": 0,
    "mask_updates": 0,
    "masks_stale": 0,
    "samples_seen": 0,
    "samples_replayed": 0,
    "samples_measured": 0,
    "samples_removed": 0,
}
"""The integers of a run: where it stands, steps of the optimizer (``count``: the next since states began), totals."""
_EVENT = {name: f"event.{name}" for name in LEVELS}
KEPT = ("order", "position", "length", "done", "total", "now.overall")
"""Values that an epoch's beginning gives its steps, and these hand on."""
LEARNING_RATE, RATE = "learning_rate", "rate"
"""Names of the run's learning rate, and of that of a step where it falls."""
OF_STEP = {"count": "count", "task_step": "task_step"}  # which graphs that move parameters may read beside the rate
KEEP = "gradient_keep"
"""Name of the vector with the kept gradients of each layer."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings that the program depends on.

    Attributes:
        replay: what a step draws from the buffer.
        merged: whether all batches of a step are trained as one.
        one_gradient: whether importance is measured once over all batches, or by current and replayed ones.
        single_head: whether the current batch is measured with the task's own classes alone.
        mask_updates: the events that change the masks.
        removals: the events that remove samples.
        vectors: the vectors that events and operations name; ``gradient_keep`` where gradients are masked.
        refresh_steps: steps between two choices of gradients.
        optimizer: whether a graph of its own moves the parameters.
        decays: whether the learning rate falls at the end of a task.
        samples: state of the task's samples.
        measured: state that holds measured gradients.
        learned: state that training computes, as ``check_state`` numbers it.
        augment: the graph that changes training samples at random.
        updates_measure: whether mask updates read gradients.
        first_masks: ``remove_to`` and ``grow_to`` of the update that chooses the first masks by scores; empty without.
        parts: what the method adds.
        fills: whether every step presents its batch to the buffer.
        least_buffer: the fewest rows of the buffer that make sense.
        work_moves: whether the FLOPs of a sample change with the masks.
        smooths: whether each step measures gradients, which mask updates read and no block forgets.
        masks_each_step: whether each step chooses its masks, from weights that are all trained.
        in_apps: whether a learner in an app can have the method.
        resizes: whether a graph resizes images.
        first: the graph that trains on the first batch of a step.
        train: whose samples an epoch goes through.
    """

    replay: Replay
    merged: bool
    one_gradient: bool
    single_head: bool
    mask_updates: tuple[Event, ...]
    removals: tuple[Event, ...]
    vectors: dict[str, tuple[int, ...]]
    refresh_steps: int
    optimizer: bool
    decays: bool
    samples: tuple[str, ...]
    measured: tuple[str, ...]
    learned: tuple[str, ...]
    augment: str
    updates_measure: bool = True
    parts: Parts = dataclasses.field(default_factory=Parts)
    fills: bool = True
    least_buffer: int = 1
    train: Literal["task", "seen"] = "task"
    first_masks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    work_moves: bool = False
    smooths: bool = False
    masks_each_step: bool = False
    in_apps: bool = True
    resizes: bool = False
    first: str = "train"


def build(settings: Settings) -> Program:
    """Make the program."""
    blocks = {
        "class_order": (class_order(),),
        "statistics": statistics(),
        "begin_task": _begin_task(settings),
        "begin_epoch": _begin_epoch(settings),
        "step": _step(settings),
        "move": _move(settings),
        "end_epoch": _end_epoch(settings),
        "end_task": (*settings.parts.end_task, evaluate(settings.parts.answered), *closed()),
        "end_run": end_run(),
    }
    if settings.in_apps:
        blocks |= {"close_task": (*settings.parts.end_task, *closed()), **apart(settings.parts.answered)}
        blocks |= {"resize": (resize(),)} if settings.resizes else {}
    if settings.measured and (settings.mask_updates or KEEP in settings.vectors):
        blocks["measure"] = _measure(settings)
    if settings.mask_updates:
        blocks["update_masks"] = update_masks(_forgotten(settings), _EVENT, settings.work_moves)
    if settings.first_masks:
        blocks["first_masks"] = first_masks(
            settings.measured, dict(settings.first_masks), settings.augment, settings.work_moves
        )
    if KEEP in settings.vectors:
        blocks["choose_gradients"] = (
            Call("measure"),
            Run("update_gradient_masks", feeds={"keep": KEEP}),
            Reset(settings.measured),
            Set("masks_stale", 0),
        )
    events = {"mask_updates": settings.mask_updates, "removals": settings.removals, **settings.parts.events}
    found = {kind: each for kind, each in events.items() if each}
    return Program(dict(COUNTERS), settings.vectors, blocks, found, settings.least_buffer, KEPT, settings.train)


def _begin_task(settings: Settings) -> Block:
    updates = (Due("mask_updates", (Call("update_masks"),)),) if settings.mask_updates else ()
    start = tuple(Set(name, 0) for name in ("task_step", "removed", "done"))
    return (Reset(settings.samples), *start, Set("total", 1), *settings.parts.begin_task, *updates)


def _begin_epoch(settings: Settings) -> Block:
    first = (When((Condition("step"),), (), (Call("first_masks"),)),) if settings.first_masks else ()
    return (
        Reset(("epoch.loss", "epoch.steps")),
        Run("sparsity", give="now"),
        Run("order", feeds={"key": ("seed", "task", "epoch"), "batch": "batch"}),
        Set("total", "steps"),
        Set("position", 0),
        Set("done", 0),
        *first,
    )


def _step(settings: Settings) -> Block:
    parts = settings.parts
    batches = (settings.replay, settings.merged, settings.augment, parts.replayed)
    replay = (When((REPLAYING,), replay_batches(*batches)),) if settings.replay.batches else ()
    return (
        *current_batch(settings.augment),
        *parts.current,
        *replay,
        *_choose_gradients(settings),
        *((Call("measure"),) if settings.smooths else ()),
        Call("move"),
        *((written(CURRENT, "trained0.logits"),) if settings.replay.batches and settings.fills else ()),
        *_counted(settings),
        *_due_updates(settings),
        *_due_removals(settings),
        *parts.due,
    )


def _forgotten(settings: Settings) -> tuple[str, ...]:
    """Return the measured gradients that a mask update forgets."""
    return () if settings.smooths else settings.measured


def _choose_gradients(settings: Settings) -> Block:
    """Return the choice of the gradients that the next steps use (DGM), before the first step and behind an update."""
    due = (Condition("masks_stale"), Condition("task_step", every=settings.refresh_steps))
    return (When(due, (Call("choose_gradients"),)),) if KEEP in settings.vectors else ()


def _move(settings: Settings) -> Block:
    """Return the training of one step on its batches, and the move of the parameters."""
    decay, rate = _decay(settings)
    alone = _trained((CURRENT,), rate, settings.first)
    every = _trained(trained_batches(settings.replay, settings.merged), rate, settings.first)
    full = (*settings.parts.reference, *alone) if settings.parts.reference else every
    train: Block = (When((REPLAYING,), full, alone),) if settings.replay.batches else alone
    finite = When((Condition("finite"),), (), (Fail("the loss became {}", "loss"),))
    optimizer = Run("optimizer", feeds={"learning_rate": rate, **OF_STEP})
    masks = (Run("update_masks", feeds={"learning_rate": rate}),) if settings.masks_each_step else ()
    return (*decay, *masks, *train, finite, *settings.parts.gradients, *((optimizer,) if settings.optimizer else ()))


def _decay(settings: Settings) -> tuple[Block, str]:
    """Return what computes the learning rate of a step, and its name."""
    if not settings.decays:
        return (), LEARNING_RATE
    names = (LEARNING_RATE, "epoch", "epochs", "done", "total")
    return (Run("decay", feeds={name: name for name in names}),), RATE


def _trained(batches: Sequence[str], rate: str, first: str) -> Block:
    rates = {"learning_rate": rate, **OF_STEP}
    runs = [
        Run(graph, take=batch, feeds={"lazy_reset_grad": int(number == 0), **rates}, give=f"trained{number}")
        for number, (batch, graph) in enumerate(zip(batches, (first, *["train"] * len(batches)), strict=False))
    ]
    losses = tuple(f"trained{number}.loss" for number in range(len(batches)))
    return (*runs, Run("check_loss", feeds={"losses": losses}))


def _measure(settings: Settings) -> Block:
    """Return the measurement of the gradients g1 and g2 (docs/algorithm.md)."""
    replay = measured_replay(settings.replay, settings.merged)
    counted = (Count("samples_measured", rows=f"{CURRENT}.labels"), *_replayed(settings, "samples_measured"))
    if settings.one_gradient:
        alone = _gradients("g1", (CURRENT,))
        full = _gradients("g1", trained_batches(settings.replay, settings.merged))
        return (*((When((REPLAYING,), full, alone),) if replay else alone), *counted)
    own = {"class_mask": f"{CURRENT}.own_mask"} if settings.single_head else {}
    second = (When((REPLAYING,), _gradients("g2", replay)),) if replay else ()
    return (*_gradients("g1", (CURRENT,), own), *second, *counted)


def _gradients(into: Column, batches: Sequence[str], feeds: dict[str, str] | None = None) -> Block:
    return tuple(
        Run(
            "measure",
            take=batch,
            feeds={"lazy_reset_grad": int(number == 0), **(feeds or {})},
            into=into,
            give="measured",
        )
        for number, batch in enumerate(batches)
    )


def _counted(settings: Settings) -> Block:
    """Return the counting of a step."""
    steps = tuple(Count(name) for name in ("step", "count", "task_step", "done"))
    return (*steps, Count("samples_seen", rows=f"{CURRENT}.labels"), *_replayed(settings, "samples_replayed"))


def _replayed(settings: Settings, counter: str) -> Block:
    each = tuple(Count(counter, rows=f"{name_of(number)}.labels") for number in range(len(settings.replay.batches)))
    return (When((REPLAYING,), each),) if each else ()


def _due_updates(settings: Settings) -> Block:
    measure = (Call("measure"),) if settings.updates_measure else ()
    return (Due("mask_updates", (*measure, Call("update_masks"))),) if settings.mask_updates else ()


def _due_removals(settings: Settings) -> Block:
    if not settings.removals:
        return ()
    names = ("removed", "order", "position", "batch", "done")
    given = {"new_order": "order", "new_position": "position", "length": "length", "removed_total": "removed"}
    remove = Run("remove_samples", feeds={"share": "event.share", **{name: name for name in names}}, results=given)
    return (Due("removals", (remove, Count("samples_removed", add="removed_now"), Set("total", "steps"))),)


def _end_epoch(settings: Settings) -> Block:
    broken = Fail("{} is no longer finite", "broken", settings.learned)
    # The last step moved weights past its masks.
    masks = (Run("update_masks", feeds={"learning_rate": 0}),) if settings.masks_each_step else ()
    return (
        *masks,
        Run("check_state"),
        When((Condition("broken", at_least=0),), (broken,)),
        Run("sparsity", give="now"),
        Count("epoch"),
    )
