"""The blocks of a program that no option of the compiler changes."""

from sparcl_compile.interface.program import Block, Call, Count, Each, Operation, Reset, Rows, Run, Set
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


def evaluate() -> Operation:
    """Return the evaluation of all tasks so far."""
    tested: Block = (
        standardised("tested"),
        Run("eval", take="tested", give="tested"),
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
    return (Run("summary", give="result"), *_measured())


def _measured() -> Block:
    """Return the sparsity and the FLOPs so far."""
    totals = ("samples_seen", "samples_replayed", "samples_measured")
    return (Run("sparsity", give="result"), Run("flops", feeds={name: name for name in totals}, give="result"))


def apart() -> dict[str, Block]:
    """Return the blocks of a learner in an app, by name: the end of a task, answers, and what is known of it.

    The driver gives the samples as ``asked.raw``, their ``asked.labels``, and ``asked.classes`` to choose from.
    """
    answered = (
        standardised("asked"),
        Run("eval", take="asked", give="asked"),
        Run("probabilities", take="asked"),
    )
    return {
        "end_task": (evaluate(), Call("close_task")),
        "close_task": (Count("task"), Set("epoch", 0)),
        "predict": answered,
        "begin_score": (Reset(("score.class_correct", "score.class_seen")),),
        "score": (*answered, Run("count_by_class", take="asked", feeds={"best": "best"})),
        "report": (Run("class_accuracy", give="result"), *_measured()),
    }


def resize() -> Operation:
    """Return the resizing of images ``given.x`` to those that the model takes."""
    return Run("resize", take="given")
