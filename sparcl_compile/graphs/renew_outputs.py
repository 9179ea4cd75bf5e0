"""Replaces the logits that the replay buffer holds by those that the network gives now."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.replay_buffer import buffer_logits


def build(classes: int) -> ir.Model:
    """Make the graph ``renew_outputs``.

    Inputs: ``slot`` int64 [N]; ``logits`` float32 [N, C], those of the samples in these slots; state ``buffer.logits``
    float32 [buffer, C]. Result: ``buffer.logits.next``, with the logits in their slots.

    Args:
        classes: the size C of the model's head.
    """
    b = Builder("renew_outputs", "Write the logits of samples in the replay buffer anew.")
    slot, logits = b.feed("slot", INT64, ["N"]), b.feed("logits", FLOAT, ["N", classes])
    stored = buffer_logits(b, classes)
    b.next(stored, b.op.ScatterND(stored, b.op.Unsqueeze(slot, [1]), logits))
    return b.model()
