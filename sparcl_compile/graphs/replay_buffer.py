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
        x=buffer_samples(b, dtype),
        labels=buffer_labels(b),
        logits=buffer_logits(b, classes),
        seen=buffer_seen(b),
    )


def buffer_samples(b: Builder, dtype: ir.DataType) -> ir.Value:
    """Add the raw samples of the slots alone: [buffer, C, H, W]."""
    return b.state("buffer.x", dtype, ["buffer", "C", "H", "W"], Role.BUFFER)


def buffer_logits(b: Builder, classes: int) -> ir.Value:
    """Add the logits of the slots alone: float32 [buffer, classes]."""
    return b.state("buffer.logits", FLOAT, ["buffer", classes], Role.BUFFER)


def buffer_labels(b: Builder) -> ir.Value:
    """Add the labels of the slots alone: int64 [buffer]."""
    return b.state("buffer.labels", INT64, ["buffer"], Role.BUFFER)


def buffer_seen(b: Builder) -> ir.Value:
    """Add the number of presentations alone: int64 []."""
    return b.state("buffer.seen", INT64, [], Role.BUFFER)


def filled_slots(b: Builder, labels: ir.Value, seen: ir.Value) -> ir.Value:
    """The number of filled slots, by the labels of all and the presentations so far: int64 []."""
    return b.op.Min(seen, b.size(labels))


def stored_labels(b: Builder, labels: ir.Value, seen: ir.Value) -> ir.Value:
    """The labels of the filled slots: int64 [filled]."""
    return b.op.Slice(labels, [0], b.op.Reshape(filled_slots(b, labels, seen), [1]))
