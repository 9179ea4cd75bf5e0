"""Keeps the running statistics at the end of a task (PackNet)."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.packing import OF_TASKS, Packing
from sparcl_compile.interface.names import Role


def build(packing: Packing) -> ir.Model:
    """Make the graph ``keep_statistics``.

    Inputs: ``task`` int64 [], from 0; the running statistics S and state ``S.of_tasks`` float32 [tasks, C]. Results:
    ``S.of_tasks.next``, with S in the task's row.

    Args:
        packing: the parameters and the statistics.
    """
    b = Builder("keep_statistics", "Write the running statistics into the row of a task.")
    op = b.op
    place = op.Reshape(b.feed("task", INT64, []), [1, 1])
    for name, length in packing.statistics:
        now = op.Unsqueeze(b.state(name, FLOAT, [length], Role.RUNNING_STAT), [0])
        rows = b.state(f"{name}.{OF_TASKS}", FLOAT, ["tasks", length], Role.METHOD)
        b.result(f"{name}.{OF_TASKS}.next", op.ScatterND(rows, place, now), FLOAT, ["tasks", length])
    return b.model()
