"""Which slots of the replay buffer are filled."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import INT64, Builder
from sparcl_compile.graphs.replay_buffer import buffer_labels, buffer_seen, filled_slots


def build(chunk: int) -> ir.Model:
    """Make the graph ``buffer_slots``.

    Inputs: state ``buffer.labels`` int64 [buffer] and ``buffer.seen`` int64 []. Results: ``slots`` int64 [F], those
    that are filled; ``filled`` int64 [], their number F; ``last_chunk`` int64 [], the number from 0 of the last of
    their chunks, and 0 where there is none.

    Args:
        chunk: slots at a time.
    """
    b = Builder("buffer_slots", "Number the filled slots of the replay buffer, some at a time.")
    op = b.op
    filled = filled_slots(b, buffer_labels(b), buffer_seen(b))
    b.result("slots", op.Range(0, filled, 1), INT64, ["F"])
    b.result("filled", filled, INT64, [])
    b.result("last_chunk", op.Div(op.Max(op.Sub(filled, 1), 0), chunk), INT64, [])
    return b.model()
