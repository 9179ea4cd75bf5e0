"""Puts an exemplar into the buffer (iCaRL)."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.exemplars import buffer_rank, exemplars_of
from sparcl_compile.graphs.replay_buffer import buffer_labels, buffer_samples, buffer_seen


def build(dtype: ir.DataType = FLOAT) -> ir.Model:
    """Make the graph ``place_exemplar``.

    Inputs: ``x`` raw [1, C, H, W] and ``labels`` int64 [1], the sample; ``pick`` int64 [], its place in the order of
    choice, from 0; state ``buffer.x``, ``buffer.labels``, ``buffer.seen``, ``buffer.rank``.
    Results: ``.next`` of all four, with the sample in the first free slot. There must be one. Its rank is ``pick``,
    and behind the older exemplars of its class where there are some.

    Args:
        dtype: type of the raw samples, float32 or uint8.
    """
    b = Builder("place_exemplar", "Put a sample into the first free slot.")
    op = b.op
    x, labels = b.feed("x", dtype, [1, "C", "H", "W"]), b.feed("labels", INT64, [1])
    held, names = buffer_samples(b, dtype), buffer_labels(b)
    seen, rank = buffer_seen(b), buffer_rank(b)
    pick = op.Reshape(op.Max(b.feed("pick", INT64, []), exemplars_of(b, names, seen, labels)), [1])
    slot = op.Reshape(seen, [1, 1])
    b.next(held, op.ScatterND(held, slot, x))
    b.next(names, op.ScatterND(names, slot, labels))
    b.next(rank, op.ScatterND(rank, slot, pick))
    b.next(seen, op.Add(seen, 1))
    return b.model()
