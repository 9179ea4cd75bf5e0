"""Remembers the classes of a task that is over."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.recorded import CLASSES_SEEN, classes_seen


def build(classes: int) -> ir.Model:
    """Make the graph ``see_classes``.

    Inputs: ``classes`` int64 [T], the labels of the task; state ``classes_seen`` float32 [C]. Result:
    ``classes_seen.next``, 1 for these too.

    Args:
        classes: the size C of the model's head.
    """
    b = Builder("see_classes", "Mark the classes of a task.")
    op = b.op
    own = b.feed("classes", INT64, ["T"])
    ones = op.Expand(1.0, op.Shape(own))
    marked = op.ScatterElements(classes_seen(b, classes), own, ones, axis=0)
    b.result(f"{CLASSES_SEEN}.next", marked, FLOAT, [classes])
    return b.model()
