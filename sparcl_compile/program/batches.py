"""Operations that make the batches of a step: rows of the task, draws from the buffer, and their weights."""

from collections.abc import Callable, Mapping

from sparcl_compile.interface.program import Block, Condition, Gather, Operation, Run, Slice, Source, When
from sparcl_compile.settings.methods import Replay, ReplayBatch

CURRENT = "current"
REPLAYED = "replayed"
"""All replay batches as one."""
WHOLE = "whole"
"""The current batch and all replay batches as one."""
FIELDS = ("x", "labels", "class_mask", "ce_weight", "distill_target", "distill_weight", "sample_id")
"""Feeds of a training graph that make up a batch."""

FIRST_TASK = 1
"""The task, from 0, with which replay begins."""
REPLAYING = Condition("task", at_least=FIRST_TASK)


def name_of(number: int) -> str:
    """Return the name of the replay batch of this number."""
    return f"replay{number}"


def current_batch(augment: str) -> Block:
    """Return the operations that make the current batch: the next rows of the epoch's order."""
    return (
        Slice(vector="order", position="position", count="batch", end="length", give=f"{CURRENT}.sample_id"),
        Gather(rows=f"{CURRENT}.sample_id", give=CURRENT),
        prepared(CURRENT, 0, augment),
        Run("batch", take=CURRENT, give=CURRENT),
    )


def replay_batches(replay: Replay, merged: bool, augment: str, behind: Callable[[str], Block] = lambda _: ()) -> Block:
    """Return the operations that make the replay batches, and with ``merged`` the batches joined from them.

    Args:
        replay: the batches and their classes.
        merged: whether they are joined with the current one.
        augment: the graph that changes training samples at random.
        behind: what follows the making of a batch, by its name.
    """
    told: dict[str, Source] = {"classes": f"{CURRENT}.classes"} if replay.classes != "all" else {}
    numbered = enumerate(replay.batches)
    made = [(*_drawn(number, one, told, augment), *behind(name_of(number))) for number, one in numbered]
    drawn = [operation for each in made for operation in each]
    return (*drawn, *(_joined(len(replay.batches)) if merged else ()))


def _drawn(number: int, one: ReplayBatch, told: Mapping[str, Source], augment: str) -> Block:
    name = name_of(number)
    weights: dict[str, Source] = {"ce": one.ce, "distill": one.distill}
    feeds: dict[str, Source] = {"key": ("seed", "step", one.draw), "batch": "batch", **weights, **told}
    draw = Run("replay_batch", feeds=feeds, give=name, results={"x": f"{name}.raw"})
    return (draw, prepared(name, one.draw + 1, augment))


def _joined(batches: int) -> Block:
    names = [name_of(number) for number in range(batches)]
    # A single replay batch is joined with nothing first: the blocks that read the joined one need not know.
    pairs = [(names[0], other, REPLAYED) for other in names[1:2]]
    pairs += [(REPLAYED, other, REPLAYED) for other in names[2:]]
    last = REPLAYED if batches > 1 else names[0]
    return tuple(_merged(*pair) for pair in [*pairs, (CURRENT, last, WHOLE)])


def _merged(first: str, second: str, give: str) -> Run:
    sides = {"first": first, "second": second}
    return Run(
        "merge", feeds={f"{side}.{f}": f"{batch}.{f}" for side, batch in sides.items() for f in FIELDS}, give=give
    )


def prepared(batch: str, draw: int, augment: str) -> Operation:
    """Return the operation that makes raw samples what the model takes, by graph ``augment`` where the run asks."""
    feeds, results = {"x": f"{batch}.raw"}, {"x_ready": f"{batch}.x"}
    changed = Run(augment, feeds={**feeds, "key": ("seed", "step", draw)}, results=results)
    return When((Condition("augment"),), then=(changed,), otherwise=(standardised(batch),))


def standardised(batch: str) -> Run:
    """Return the operation that makes raw samples what the model takes, and no more."""
    return Run("standardise", feeds={"x": f"{batch}.raw"}, results={"x_ready": f"{batch}.x"})


def trained_batches(replay: Replay, merged: bool) -> tuple[str, ...]:
    """Return the batches that a step with replay trains on, in order."""
    if merged and replay.batches:
        return (WHOLE,)
    return (CURRENT, *(name_of(number) for number in range(len(replay.batches))))


def measured_replay(replay: Replay, merged: bool) -> tuple[str, ...]:
    """Return the batches that the gradient of the replay loss is measured on."""
    names = tuple(name_of(number) for number in range(len(replay.batches)))
    return (REPLAYED,) if merged and len(names) > 1 else names
