"""The blocks of a program that no option of the compiler changes."""

from sparcl_compile.interface.program import Block, Each, Operation, Reset, Rows, Run
from sparcl_compile.program.batches import standardised

CHUNK = 256
"""Samples at a time where all of them are walked through: in sums and in evaluations."""


def class_order() -> Operation:
    """Return the order in which the classes come."""
    return Run("class_order", feeds={"key": ("class_order_seed", 0, 0), "classes": "classes_in_data"})


def statistics() -> Block:
    """Return the mean and the deviation of the data, over chunks of samples."""
    sums = ("data.sum", "data.squares", "data.count")
    return (
        Reset(sums),
        Rows("data", CHUNK, "seen", (Run("sum_pixels", feeds={"x": "seen.raw"}),)),
        Rows("data", CHUNK, "seen", (Run("sum_squares", feeds={"x": "seen.raw"}),)),
        Run("statistics"),
        Reset(sums),
    )


def evaluate(by: Block = ()) -> Operation:
    """Return the evaluation of all tasks so far, by ``eval`` or by what gives ``tested.logits`` in its place."""
    tested: Block = (
        standardised("tested"),
        *(by or (Run("eval", take="tested", give="tested"),)),
        Run("count_correct", take="tested"),
    )
    of = (
        Reset(("score.correct", "score.seen")),
        Rows("test", CHUNK, "tested", tested),
        Run("record", feeds={"task": "task", "of": "of"}),
    )
    return Each("of", "task", of)


def end_run() -> Block:
    """Return what a run ends with: accuracies, sparsity and FLOPs."""
    return (Run("summary", give="result"), Run("sparsity", give="result"), spent_flops())


def spent_flops() -> Operation:
    """Return the count of the FLOPs so far."""
    totals = ("samples_seen", "samples_replayed", "samples_measured")
    return Run("flops", feeds={name: name for name in totals}, give="result")
