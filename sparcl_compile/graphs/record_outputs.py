"""Keeps what the network says of the samples of a task before it learns them."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.recorded import SAMPLE_OUTPUTS, sample_outputs


def build(classes: int) -> ir.Model:
    """Make the graph ``record_outputs`` (Li and Hoiem, ECCV 2016, figure 3: ``Y_o = CNN(X_n, theta_s, theta_o)``).

    Inputs: ``logits`` float32 [N, C]; ``first`` int64 [], the number of the first of these samples in the task; state
    ``sample_outputs`` float32 [samples, C]. Result: ``sample_outputs.next``, with the logits in their rows.

    Args:
        classes: the size C of the model's head.
    """
    b = Builder("record_outputs", "Write the logits of some samples of the task into their rows.")
    op = b.op
    logits, first = b.feed("logits", FLOAT, ["N", classes]), b.feed("first", INT64, [])
    held = sample_outputs(b, classes)
    rows = op.Unsqueeze(op.Add(op.Range(0, b.size(logits), 1), first), [1])
    b.result(f"{SAMPLE_OUTPUTS}.next", op.ScatterND(held, rows, logits), FLOAT, ["samples", classes])
    return b.model()
