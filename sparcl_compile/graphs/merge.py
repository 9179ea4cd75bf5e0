"""Two batches as one: one forward pass, one set of BatchNorm statistics."""

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder

Shape = Sequence[int | str]


def build(classes: int, sample: Shape) -> ir.Model:
    """Make the graph ``merge``.

    Inputs: ``first.F`` and ``second.F`` for each feed F of a training step, of A and of B samples. Results: ``F``, the
    A samples and then the B ones. F is ``x`` float32 [N, ...], ready for the model; ``labels`` and ``sample_id`` int64
    [N]; ``ce_weight`` and ``distill_weight`` float32 [N]; ``class_mask`` and ``distill_target`` float32 [N, classes].

    Args:
        classes: the size of the model's head.
        sample: the shape of the model's input without the batch; a name stands for a length that may vary.
    """
    b = Builder("merge", "Join two batches of a training step.")
    for name, (dtype, shape) in _fields(classes, sample).items():
        first, second = b.feed(f"first.{name}", dtype, ["A", *shape]), b.feed(f"second.{name}", dtype, ["B", *shape])
        b.result(name, b.op.Concat(first, second, axis=0), dtype, ["N", *shape])
    return b.model()


def _fields(classes: int, sample: Shape) -> Mapping[str, tuple[ir.DataType, Shape]]:
    """The type and the shape without the batch, by feed."""
    return {
        "x": (FLOAT, sample),
        "labels": (INT64, ()),
        "class_mask": (FLOAT, (classes,)),
        "ce_weight": (FLOAT, ()),
        "distill_target": (FLOAT, (classes,)),
        "distill_weight": (FLOAT, ()),
        "sample_id": (INT64, ()),
    }
