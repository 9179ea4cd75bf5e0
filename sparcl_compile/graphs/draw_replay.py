"""Which slots of the replay buffer make a replay batch."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import INT64, Builder
from sparcl_compile.graphs.hash import Stream, stream


def build() -> ir.Model:
    """Make the graph ``draw_replay``: distinct filled slots, in random order.

    Inputs: ``key`` int64 [3] (seed, optimizer steps, 0 logits batch, 1 label batch); ``filled`` int64 [], slots that
    hold a sample, the first ones of ``size`` int64 []; ``batch`` int64 [], samples wanted.
    Result: ``slot`` int64 [K] with K = min(batch, filled), the slots with the smallest hashes, ascending.
    """
    b = Builder("draw_replay", "The filled slots of the replay buffer with the smallest hashes.")
    op = b.op
    key, filled, size, batch = (
        b.feed("key", INT64, [3]),
        b.feed("filled", INT64, []),
        b.feed("size", INT64, []),
        b.feed("batch", INT64, []),
    )
    usable = op.Min(filled, size)
    drawn = stream(b, key, Stream.REPLAY, op.Range(0, usable, 1))
    _, slot = b.top(drawn, op.Min(batch, usable), largest=False)
    b.result("slot", slot, INT64, ["K"])
    return b.model()
