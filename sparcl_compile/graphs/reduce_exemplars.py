"""Makes room in the buffer for the exemplars of a new task (iCaRL)."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.exemplars import RANK, a_class
from sparcl_compile.graphs.replay_buffer import replay_buffer
from sparcl_compile.interface.names import Role


def build(classes: int, dtype: ir.DataType = FLOAT) -> ir.Model:
    """Make the graph ``reduce_exemplars`` (Rebuffi et al., CVPR 2017, algorithm 5).

    Inputs: ``classes`` int64 [T], the labels of the task; state ``classes_seen`` float32 [C], with the task's classes
    in it, ``buffer.x``, ``buffer.labels``, ``buffer.logits``, ``buffer.seen`` and ``buffer.rank`` int64 [buffer].
    Results: ``.next`` of the buffer, in which of each class the first m exemplars stay, in their order and from the
    first slot on; m is the buffer's size by the classes seen, rounded down. ``last_member`` int64 [], T - 1.

    Args:
        classes: the size C of the model's head.
        dtype: type of the raw samples, float32 or uint8.
    """
    b = Builder("reduce_exemplars", "Keep the first exemplars of each class, from the first slot on.")
    op = b.op
    own, buffer = b.feed("classes", INT64, ["T"]), replay_buffer(b, classes, dtype)
    rank = b.state(RANK, INT64, ["buffer"], Role.METHOD)
    filled = op.Less(op.Range(0, b.size(rank), 1), buffer.seen)
    stays = op.And(op.Less(rank, a_class(b, buffer.labels, classes)), filled)
    first, rest = (op.Reshape(op.NonZero(flags), [-1]) for flags in (stays, op.Not(stays)))
    order = op.Concat(first, rest, axis=0)
    shapes: dict[str, tuple[ir.Value, ir.DataType, list[int | str]]] = {
        "buffer.x": (buffer.x, dtype, ["buffer", "C", "H", "W"]),
        "buffer.labels": (buffer.labels, INT64, ["buffer"]),
        "buffer.logits": (buffer.logits, FLOAT, ["buffer", classes]),
        RANK: (rank, INT64, ["buffer"]),
    }
    for name, (value, kind, shape) in shapes.items():
        b.result(f"{name}.next", op.Gather(value, order), kind, shape)
    b.result("buffer.seen.next", b.count(stays), INT64, [])
    b.result("last_member", op.Sub(b.size(own), 1), INT64, [])
    return b.model()
