"""The order of the samples in one epoch."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.hash import Stream, stream
from sparcl_compile.interface.names import Role

BEYOND_HASHES = 2**32


def build() -> ir.Model:
    """Make the graph ``order``.

    Inputs: ``key`` int64 [3] (seed, task, epoch); ``batch`` int64 [], samples a step, from 1; state ``sample_keep``
    float32 [S].
    Results: ``order`` int64 [S], the kept samples by ascending hash, then the removed ones by index;
    ``length`` int64 [], how many are kept; ``steps`` int64 [], how many steps the epoch has: a batch that is not full
    is left out, unless it is the only one.
    """
    b = Builder("order", "Kept samples in random order, removed samples last.")
    op = b.op
    key, batch = b.feed("key", INT64, [3]), b.feed("batch", INT64, [])
    keep = b.state("sample_keep", FLOAT, ["S"], Role.SAMPLE)
    size = b.size(keep)
    index = op.Range(0, size, 1)
    kept = op.Greater(keep, 0.0)
    drawn = stream(b, key, Stream.ORDER, index)
    rank = op.Where(kept, drawn, op.Add(index, BEYOND_HASHES))
    _, order = b.top(rank, size, largest=False)
    b.result("order", order, INT64, ["S"])
    length = b.count(kept)
    b.result("length", length, INT64, [])
    b.result("steps", op.Max(op.Div(length, batch), 1), INT64, [])
    return b.model()
