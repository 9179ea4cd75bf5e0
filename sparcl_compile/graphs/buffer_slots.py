"""Where presentations go in the replay buffer."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import INT64, Builder
from sparcl_compile.graphs.hash import Stream, stream

NOWHERE = -1


def build() -> ir.Model:
    """Make the graph ``buffer_slots``: reservoir sampling (Vitter 1985), its random numbers from the hash.

    Inputs: ``key`` int64 [3] (seed, 0, 0); ``seen`` int64 [], presentations before this batch; ``size`` int64 [], the
    buffer's; ``labels`` int64 [N], of which only the length counts.
    Result: ``slot`` int64 [N], -1 for nowhere. A slot can occur twice: the later presentation wins.
    """
    b = Builder("buffer_slots", "The slot of the replay buffer that each presentation of a batch takes, -1 for none.")
    op = b.op
    key, seen, size = (b.feed("key", INT64, [3]), b.feed("seen", INT64, []), b.feed("size", INT64, []))
    labels = b.feed("labels", INT64, ["N"])
    number = op.Add(op.Range(0, b.size(labels), 1), seen)
    drawn = op.Mod(stream(b, key, Stream.RESERVOIR, number), op.Add(number, 1))
    replaced = op.Where(op.Less(drawn, size), drawn, NOWHERE)
    b.result("slot", op.Where(op.Less(number, size), number, replaced), INT64, ["N"])
    return b.model()
