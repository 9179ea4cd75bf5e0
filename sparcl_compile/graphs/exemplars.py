"""The state of exemplars and of their choice, and unit vectors: what the graphs of iCaRL share."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.recorded import classes_seen
from sparcl_compile.interface.names import Role

SAMPLE_FEATURES, SAMPLE_LABELS = "sample_features", "sample_labels"
"""Unit features of the task's samples; their labels, -1 for one that is an exemplar."""
RANK, SUMS = "buffer.rank", "exemplar_sums"
"""The places of exemplars in the order of their choice, from 0; sums of the exemplars' features by class."""
MEAN, CHOSEN = "herd.mean", "herd.chosen"
"""The mean feature of the class whose exemplars are chosen, and the sum over those chosen so far."""
TINY = 1e-12
"""The least length that a vector is divided by: one of zeros stays."""


def unit(b: Builder, vectors: ir.Value) -> ir.Value:
    """Vectors of length 1 along the last axis."""
    op = b.op
    length = op.Sqrt(op.ReduceSum(op.Mul(vectors, vectors), [-1], keepdims=1))
    return op.Div(vectors, op.Max(length, TINY))


def sample_features(b: Builder, size: int) -> ir.Value:
    """Add the state ``sample_features``: float32 [samples, D]."""
    return b.state(SAMPLE_FEATURES, FLOAT, ["samples", size], Role.METHOD)


def sample_labels(b: Builder) -> ir.Value:
    """Add the state ``sample_labels``: int64 [samples]."""
    return b.state(SAMPLE_LABELS, INT64, ["samples"], Role.METHOD)


def buffer_rank(b: Builder) -> ir.Value:
    """Add the state ``buffer.rank``: int64 [buffer]."""
    return b.state(RANK, INT64, ["buffer"], Role.METHOD)


def vector(b: Builder, name: str, size: int) -> ir.Value:
    """Add a state float32 [D]."""
    return b.state(name, FLOAT, [size], Role.METHOD)


def a_class(b: Builder, labels: ir.Value, classes: int) -> ir.Value:
    """The number of exemplars that each class may have: int64 []; adds the state ``classes_seen``.

    Args:
        b: the graph.
        labels: those of the buffer, int64 [buffer].
        classes: the size of the model's head.
    """
    op = b.op
    seen = b.count(op.Greater(classes_seen(b, classes), 0.0))
    return op.Div(b.size(labels), op.Max(seen, 1))


def exemplars_of(b: Builder, labels: ir.Value, seen: ir.Value, label: ir.Value) -> ir.Value:
    """The number of a class's exemplars in the buffer: int64 [].

    Args:
        b: the graph.
        labels: those of the buffer, int64 [buffer].
        seen: how many slots of it are filled, int64 [].
        label: the class, int64 [] or [1].
    """
    op = b.op
    filled = op.Less(op.Range(0, b.size(labels), 1), seen)
    return b.count(op.And(op.Equal(labels, label), filled))
