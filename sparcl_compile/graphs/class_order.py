"""The order in which the classes are dealt out to the tasks."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import INT64, Builder
from sparcl_compile.graphs.hash import Stream, stream


def build() -> ir.Model:
    """Make the graph ``class_order``.

    Inputs: ``key`` int64 [3] (seed, 0, 0); ``classes`` int64 [], how many there are.
    Result: ``order`` int64 [K] with K = classes: their numbers by ascending hash (distinct, so that nothing ties).
    """
    b = Builder("class_order", "The numbers of the classes in random order.")
    key, classes = b.feed("key", INT64, [3]), b.feed("classes", INT64, [])
    drawn = stream(b, key, Stream.CLASSES, b.op.Range(0, classes, 1))
    _, order = b.top(drawn, classes, largest=False)
    b.result("order", order, INT64, ["K"])
    return b.model()
