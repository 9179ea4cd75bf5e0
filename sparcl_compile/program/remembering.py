"""Operations that keep what the network said before a task, or at its end."""

from sparcl_compile.interface.program import Block, Count, Reset, Rows, Run, Set, When
from sparcl_compile.program.batches import CURRENT, REPLAYING, standardised
from sparcl_compile.program.fixed import CHUNK

BEFORE, LEARNED = "before", "learned"
"""Prefixes of the values of the task's samples, before the task and when it is learned."""


def written(batch: str, logits: str) -> Run:
    """Return the presentation of a batch to the buffer."""
    presented = {"x": f"{batch}.raw", "labels": f"{batch}.labels", "logits": logits}
    return Run("write_buffer", feeds={"key": ("seed", 0, 0), **presented}, give="stored")


def recorded(state: str) -> Block:
    """Return the recording of the outputs for all samples of the task, in the state of this name."""
    some = (
        standardised(BEFORE),
        Run("eval", take=BEFORE, give=BEFORE),
        Run("record_outputs", feeds={"logits": f"{BEFORE}.logits", "first": "recorded"}),
        Count("recorded", rows=f"{BEFORE}.labels"),
    )
    return (Reset((state,)), When((REPLAYING,), (Set("recorded", 0), Rows("train", CHUNK, BEFORE, some))))


def old_targets(weight: float) -> Block:
    """Return the targets of the current batch: the outputs from before the task, from the second one on."""
    recall = Run("recall", take=CURRENT, give=CURRENT)
    return (When((REPLAYING,), (recall, Run("old_targets", take=CURRENT, feeds={"distill": weight}, give=CURRENT))),)


def seen_classes() -> Block:
    """Return the remembering of the task's classes, which any of its samples name.

    A learner that was opened in the middle of a task may end it without a step, so there may be no current batch.
    """
    return (Rows("train", CHUNK, LEARNED, (Run("see_classes", feeds={"classes": f"{LEARNED}.classes"}),)),)


def written_at_the_end() -> Block:
    """Return the presentation of all samples of the task to the buffer, with what the network gives when it is over."""
    some = (standardised(LEARNED), Run("eval", take=LEARNED, give=LEARNED), written(LEARNED, f"{LEARNED}.logits"))
    return (Rows("train", CHUNK, LEARNED, some),)
