"""Operations that change the weight masks."""

from collections.abc import Mapping, Sequence

from sparcl_compile.interface.program import Block, Condition, Count, Each, Reset, Run, Set, Source, When
from sparcl_compile.program.batches import CURRENT, current_batch
from sparcl_compile.program.fixed import spent_flops

LEVELS = ("remove_to", "grow_to")
"""Feeds of a mask update: the counts that are left after the removal, and reached by the growth."""
SCORED_BATCHES = 10
"""The first batches of a run whose gradients choose the first masks."""


def update_masks(measured: Sequence[str], counts: Mapping[str, Source], work_moves: bool = False) -> Block:
    """Return a mask update to these counts, behind which the measured gradients are forgotten.

    Where ``work_moves`` a step costs something else behind it, so that the FLOPs are counted first.
    """
    before = (spent_flops(),) if work_moves else ()
    run = Run("update_masks", feeds={"key": ("seed", "mask_updates", 0), **counts})
    reset = (Reset(tuple(measured)),) if measured else ()
    return (*before, run, *reset, Count("mask_updates"), Set("masks_stale", 1))


def first_masks(measured: Sequence[str], counts: Mapping[str, Source], augment: str, work_moves: bool = False) -> Block:
    """Return the choice of the first masks by gradients of the first batches, summed up; none of them is trained on.

    It stands at the beginning of an epoch, which gives ``total`` batches.
    """
    score = (
        *current_batch(augment),
        Run("measure", take=CURRENT, feeds={"lazy_reset_grad": 0}, into="g1", give="measured"),
        Count("samples_measured", rows=f"{CURRENT}.labels"),
    )
    few = When((Condition("scored", at_least=SCORED_BATCHES),), (), score)
    return (
        Reset(tuple(measured)),
        Set("last", "total"),
        Count("last", add=-1),
        Each("scored", "last", (few,)),
        *update_masks(measured, counts, work_moves),
        Set("position", 0),
    )
