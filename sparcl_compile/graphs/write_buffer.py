"""Writes presentations into the replay buffer."""

from collections.abc import Sequence
from typing import cast

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.hash import Stream, stream
from sparcl_compile.graphs.replay_buffer import ReplayBuffer, replay_buffer

NOWHERE = -1


def build(classes: int, dtype: ir.DataType = FLOAT) -> ir.Model:
    """Make the graph ``write_buffer``: reservoir sampling (Vitter 1985), its random numbers from the hash.

    Inputs: ``key`` int64 [3] (seed, 0, 0); ``x`` raw [N, C, H, W] and ``labels`` int64 [N], the presentations;
    ``logits`` float32 [M, classes] with M >= N, of which the first N rows count; state ``buffer.x``, ``buffer.labels``,
    ``buffer.logits`` and ``buffer.seen``.
    Results: ``.next`` of all four; ``slot`` int64 [N], where each presentation goes, -1 for nowhere. Of presentations
    with one slot the last is kept.

    Only rows are written, when ``.next`` of a tensor is given its own memory.

    Args:
        classes: the size of the model's head.
        dtype: type of the raw samples, float32 or uint8.
    """
    b = Builder("write_buffer", "Put each presentation of a batch into its slot of the replay buffer, if it has one.")
    op = b.op
    key = b.feed("key", INT64, [3])
    x, labels = b.feed("x", dtype, ["N", "C", "H", "W"]), b.feed("labels", INT64, ["N"])
    logits = b.feed("logits", FLOAT, ["M", classes])
    buffer = replay_buffer(b, classes, dtype)
    slot = _slots(b, key, labels, buffer)
    target, row = _kept(b, slot)

    def written(old: ir.Value, new: ir.Value) -> ir.Value:
        return op.ScatterND(old, target, op.Gather(new, row))

    b.next(buffer.x, written(buffer.x, x))
    b.next(buffer.labels, written(buffer.labels, labels))
    b.next(buffer.logits, written(buffer.logits, logits))
    b.next(buffer.seen, op.Add(buffer.seen, b.size(labels)))
    b.result("slot", slot, INT64, ["N"])
    return b.model()


def _slots(b: Builder, key: ir.Value, labels: ir.Value, buffer: ReplayBuffer) -> ir.Value:
    """The slot of each presentation, -1 for none: int64 [N]."""
    op = b.op
    size = b.size(buffer.labels)
    number = op.Add(op.Range(0, b.size(labels), 1), buffer.seen)
    drawn = op.Mod(stream(b, key, Stream.RESERVOIR, number), op.Add(number, 1))
    replaced = op.Where(op.Less(drawn, size), drawn, NOWHERE)
    return op.Where(op.Less(number, size), number, replaced)


def _kept(b: Builder, slot: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The slots that are written, int64 [W, 1], each once, and the presentations that go there, int64 [W]."""
    op = b.op
    with b.scope("kept"):
        last = op.Sub(b.size(slot), 1)
        backwards = op.Range(last, -1, -1)
        found = op.Gather(slot, backwards)
        taken = op.Greater(found, NOWHERE)
        # The first time that a slot occurs, seen from the end, is the presentation that stays.
        once, first = cast(Sequence[ir.Value], op.Unique(op.Compress(found, taken, axis=0), sorted=1, _outputs=2))
        return op.Unsqueeze(once, [1]), op.Gather(op.Compress(backwards, taken, axis=0), first)
