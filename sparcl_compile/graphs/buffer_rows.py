"""Reads some slots of the replay buffer."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.replay_buffer import buffer_labels, buffer_samples


def build(dtype: ir.DataType = FLOAT) -> ir.Model:
    """Make the graph ``buffer_rows``.

    Inputs: ``slot`` int64 [N]; state ``buffer.x`` and ``buffer.labels``. Results: ``x`` raw [N, C, H, W] and ``labels``
    int64 [N] out of these slots.

    Args:
        dtype: type of the raw samples, float32 or uint8.
    """
    b = Builder("buffer_rows", "Read the samples and the labels in some slots of the replay buffer.")
    slot = b.feed("slot", INT64, ["N"])
    x, labels = buffer_samples(b, dtype), buffer_labels(b)
    b.result("x", b.op.Gather(x, slot), dtype, ["N", "C", "H", "W"])
    b.result("labels", b.op.Gather(labels, slot), INT64, ["N"])
    return b.model()
