"""Data removal (DDR): drop the samples with the lowest score and begin the next stage."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.names import Role

Score = Literal["misclassified", "forgetting"]

RESET: Mapping[str, tuple[str, ...]] = {
    "misclassified": ("sample_score", "sample_seen"),
    "forgetting": ("sample_seen",),
}
"""Counters that begin at zero in each stage; forgetting events count from the task's start."""

NEVER_LEARNED = 50
PROOF = 2
"""Presentations in a stage without an error that show that a sample is learned: at the first one it may be luck, and in
stages this short every step counts."""
LEAST = int(np.iinfo(np.int64).min)


def build(score: Score = "misclassified") -> ir.Model:
    """Make the graph ``remove_samples``.

    Inputs: ``share`` int64 [2], numerator and denominator (from 1) of the share of all S samples that have left when
    this stage ends; ``removed`` int64 [], how many have left so far; ``order`` int64 [S] and ``position`` int64 [], the
    epoch's order and how many of it were presented; ``batch`` int64 [], samples a step, and ``done`` int64 [], steps
    made in this epoch; state ``sample_keep`` float32 [S], ``sample_score`` and ``sample_seen`` int64 [S], for
    ``forgetting`` ``sample_learned`` int64 [S] as well.
    Up to ``floor(share * S + 1/2)`` samples have left afterwards, and only samples leave that the task can spare: those
    that the stage has presented twice or more and that have the score 0, those presented most often first, and of
    these the first in the order. A task keeps a full batch: without one an epoch would have no step.
    Results: ``removed_total`` int64 [], how many have left now, and ``removed_now`` int64 [], how many of them in this
    stage; ``new_order`` int64 [S], the kept samples in the old order and then the
    removed ones; ``new_position`` int64 [], how many of the kept ones were presented; ``length`` int64 [], how many are
    kept; ``steps`` int64 [], how many steps the epoch has now; ``.next`` of ``sample_keep`` and of the counters that
    the stage resets. A state that does not change has no output.

    Raises:
        OptionError: the score has no such name.
    """
    if score not in RESET:
        raise OptionError(f"unknown score {score!r} of the sample filter; choose one of {', '.join(RESET)}")
    b = Builder("remove_samples", "Remove the samples with the lowest score and reset the stage's counters.")
    op = b.op
    share, removed = b.feed("share", INT64, [2]), b.feed("removed", INT64, [])
    order, position = b.feed("order", INT64, ["S"]), b.feed("position", INT64, [])
    batch, done = b.feed("batch", INT64, []), b.feed("done", INT64, [])
    keep = b.state("sample_keep", FLOAT, ["S"], Role.SAMPLE)
    counters = {name: b.state(name, INT64, ["S"], Role.SAMPLE) for name in ("sample_score", "sample_seen")}

    wanted = op.Sub(_rounded(b, share, b.size(order)), removed)
    seen = counters["sample_seen"]
    counted = _effective(b, score, counters["sample_score"])
    spared = op.And(op.And(op.Greater(keep, 0.0), op.Equal(counted, 0)), op.GreaterOrEqual(seen, PROOF))
    beyond_a_batch = op.Sub(b.count(op.Greater(keep, 0.0)), batch)
    leaving = _leaving(b, op.Max(op.Min(wanted, beyond_a_batch), 0), spared, seen, order)
    left = op.ScatterElements(keep, leaving, op.Expand(0.0, op.Shape(leaving)), axis=0)
    kept = op.Cast(op.Gather(left, order), to=int(ir.DataType.BOOL))
    presented = op.Less(op.Range(0, b.size(order), 1), position)
    new_order = op.Concat(op.Compress(order, kept, axis=0), op.Compress(order, op.Not(kept), axis=0), axis=0)

    b.result("removed_total", op.Add(removed, b.size(leaving)), INT64, [])
    b.result("removed_now", b.size(leaving), INT64, [])
    b.result("new_order", new_order, INT64, ["S"])
    gone_by, length = b.count(op.And(kept, presented)), b.count(kept)
    b.result("new_position", gone_by, INT64, [])
    b.result("length", length, INT64, [])
    b.result("steps", op.Add(done, op.Div(op.Sub(length, gone_by), batch)), INT64, [])
    b.result("sample_keep.next", left, FLOAT, ["S"])
    for name in RESET[score]:
        b.result(f"{name}.next", op.Mul(counters[name], 0), INT64, ["S"])
    return b.model()


def _rounded(b: Builder, share: ir.Value, samples: ir.Value) -> ir.Value:
    """``floor(share * samples + 1/2)`` in integers: int64 []."""
    op = b.op
    numerator, denominator = op.Gather(share, 0), op.Gather(share, 1)
    halves = op.Add(op.Mul(op.Mul(numerator, samples), 2), denominator)
    return op.Div(halves, op.Mul(denominator, 2))


def _effective(b: Builder, score: Score, counted: ir.Value) -> ir.Value:
    if score == "misclassified":
        return counted
    learned = b.state("sample_learned", INT64, ["S"], Role.SAMPLE)
    return b.op.Where(b.op.Greater(learned, 0), counted, NEVER_LEARNED)


def _leaving(b: Builder, wanted: ir.Value, spared: ir.Value, seen: ir.Value, order: ir.Value) -> ir.Value:
    """Indices of so many of the samples that can be spared: first those most often seen, then those early in the order.

    The order of an epoch is random. Samples of low index are alike where a data set lies in the order of its classes,
    of its writers or of time, and a task must not lose them all.
    """
    op = b.op
    with b.scope("leaving"):
        k = op.Min(wanted, b.count(spared))
        _, places = b.top(op.Gather(op.Where(spared, seen, LEAST), order), k, largest=True)
        return op.Gather(order, places)
