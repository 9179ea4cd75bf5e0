"""The state of the replay buffer, which several graphs share."""

import dataclasses

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.interface.names import Role


@dataclasses.dataclass(frozen=True)
class ReplayBuffer:
    """Raw samples, labels and logits of past presentations.

    Attributes:
        x: ``buffer.x`` [buffer, C, H, W], raw samples.
        labels: ``buffer.labels`` int64 [buffer].
        logits: ``buffer.logits`` float32 [buffer, classes], in training mode at the time of the presentation.
        seen: ``buffer.seen`` int64 [], presentations so far.
    """

    x: ir.Value
    labels: ir.Value
    logits: ir.Value
    seen: ir.Value


def replay_buffer(b: Builder, classes: int, dtype: ir.DataType) -> ReplayBuffer:
    """Add the state of the buffer for raw samples of this type."""
    return ReplayBuffer(
        x=b.state("buffer.x", dtype, ["buffer", "C", "H", "W"], Role.BUFFER),
        labels=_labels(b),
        logits=b.state("buffer.logits", FLOAT, ["buffer", classes], Role.BUFFER),
        seen=_presentations(b),
    )


def stored_labels(b: Builder, buffer: ReplayBuffer | None = None) -> ir.Value:
    """The labels of the filled slots: int64 [filled].

    Args:
        b: the graph.
        buffer: the buffer's state; None adds what is needed of it.
    """
    labels, seen = (buffer.labels, buffer.seen) if buffer else (_labels(b), _presentations(b))
    return b.op.Slice(labels, [0], b.op.Reshape(b.op.Min(seen, b.size(labels)), [1]))


def _labels(b: Builder) -> ir.Value:
    return b.state("buffer.labels", INT64, ["buffer"], Role.BUFFER)


def _presentations(b: Builder) -> ir.Value:
    return b.state("buffer.seen", INT64, [], Role.BUFFER)
