"""Reads what the network said of some samples before the task."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.recorded import sample_outputs


def build(classes: int) -> ir.Model:
    """Make the graph ``recall``.

    Inputs: ``sample_id`` int64 [N], samples of the task; state ``sample_outputs`` float32 [samples, C]. Result:
    ``outputs`` float32 [N, C], their rows.

    Args:
        classes: the size C of the model's head.
    """
    b = Builder("recall", "Read the rows of some samples of the task.")
    sample = b.feed("sample_id", INT64, ["N"])
    b.result("outputs", b.op.Gather(sample_outputs(b, classes), sample), FLOAT, ["N", classes])
    return b.model()
