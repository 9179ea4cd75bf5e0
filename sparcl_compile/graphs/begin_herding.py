"""Begins the choice of a class's exemplars (iCaRL)."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.exemplars import (
    CHOSEN,
    MEAN,
    a_class,
    exemplars_of,
    sample_features,
    sample_labels,
    unit,
    vector,
)
from sparcl_compile.graphs.replay_buffer import buffer_labels, buffer_seen


def build(classes: int, size: int) -> ir.Model:
    """Make the graph ``begin_herding`` (Rebuffi et al., CVPR 2017, algorithm 4).

    Inputs: ``classes`` int64 [T], the labels of the task; ``member`` int64 [], which of them is meant; state
    ``sample_features`` float32 [samples, D], ``sample_labels`` int64 [samples], ``classes_seen`` float32 [C],
    ``buffer.labels``, ``buffer.seen`` and ``herd.chosen`` float32 [D].
    Results: ``label`` int64 [], the class; ``last_pick`` int64 [], the number of its new exemplars less 1: as many as
    a class may have beside those that it has, and no more than there are samples; ``herd.mean.next`` float32 [D], the
    mean of its features at length 1; ``herd.chosen.next``, zeros.

    Args:
        classes: the size C of the model's head.
        size: the number D of features.
    """
    b = Builder("begin_herding", "Find the mean feature of a class of the task.")
    op = b.op
    label = op.Gather(b.feed("classes", INT64, ["T"]), b.feed("member", INT64, []))
    features, labels = sample_features(b, size), sample_labels(b)
    mine = op.Equal(labels, label)
    held = buffer_labels(b)
    room = op.Sub(a_class(b, held, classes), exemplars_of(b, held, buffer_seen(b), label))
    total = op.MatMul(op.Unsqueeze(b.cast(mine, FLOAT), [0]), features)
    chosen = vector(b, CHOSEN, size)
    b.result("label", label, INT64, [])
    b.result("last_pick", op.Sub(op.Min(b.count(mine), room), 1), INT64, [])
    b.result(f"{MEAN}.next", unit(b, op.Squeeze(total, [0])), FLOAT, [size])
    b.result(f"{CHOSEN}.next", op.Sub(chosen, chosen), FLOAT, [size])
    return b.model()
