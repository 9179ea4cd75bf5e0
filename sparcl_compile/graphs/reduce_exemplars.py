"""Makes room in the buffer for the exemplars of a new task (iCaRL)."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.exemplars import a_class, buffer_rank
from sparcl_compile.graphs.replay_buffer import replay_buffer


def build(classes: int, dtype: ir.DataType = FLOAT) -> ir.Model:
    """Make the graph ``reduce_exemplars`` (Rebuffi et al., CVPR 2017, algorithm 5).

    Inputs: ``classes`` int64 [T], the labels of the task; state ``classes_seen`` float32 [C], with the task's classes
    in it, ``buffer.x``, ``buffer.labels``, ``buffer.logits``, ``buffer.seen`` and ``buffer.rank`` int64 [buffer].
    Results: ``.next`` of the buffer, in which of each class the first m exemplars stay, in their order and from the
    first slot on; m is the buffer's size by the classes seen, rounded down. Of a class of the task, which had
    exemplars before only if an earlier task had it too, the first m - m / 2 stay: the others make room for new ones.
    ``last_member`` int64 [], T - 1.

    Args:
        classes: the size C of the model's head.
        dtype: type of the raw samples, float32 or uint8.
    """
    b = Builder("reduce_exemplars", "Keep the first exemplars of each class, from the first slot on.")
    op = b.op
    own, buffer = b.feed("classes", INT64, ["T"]), replay_buffer(b, classes, dtype)
    rank = buffer_rank(b)
    filled = op.Less(op.Range(0, b.size(rank), 1), buffer.seen)
    room = a_class(b, buffer.labels, classes)
    again = op.Equal(op.Unsqueeze(buffer.labels, [1]), op.Unsqueeze(own, [0]))
    comes_again = op.ReduceMax(b.cast(again, INT64), [1], keepdims=0)
    stays = op.And(op.Less(rank, op.Sub(room, op.Mul(comes_again, op.Div(room, 2)))), filled)
    first, rest = (op.Reshape(op.NonZero(flags), [-1]) for flags in (stays, op.Not(stays)))
    order = op.Concat(first, rest, axis=0)
    for state in (buffer.x, buffer.labels, buffer.logits, rank):
        b.next(state, op.Gather(state, order))
    b.next(buffer.seen, b.count(stays))
    b.result("last_member", op.Sub(b.size(own), 1), INT64, [])
    return b.model()
