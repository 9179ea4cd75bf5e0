"""The FLOPs of a run, from those of one sample."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.graphs.builder import DOUBLE, INT64, Builder
from sparcl_compile.graphs.tensors import Tensor, kept_elements
from sparcl_compile.interface.names import Role

COUNTED, SPENT = "flops.counted", "flops.spent"
"""State: the presentations that are in the sparse totals already, and these totals."""


@dataclasses.dataclass(frozen=True)
class SampleFlops:
    """FLOPs of one sample's forward pass, and of its forward and backward pass, dense and with the sparsities.

    Attributes:
        forward_dense: of the forward pass.
        forward_sparse: of the same with the weight masks.
        training_dense: of the forward and backward pass.
        training_sparse: of the same with the weight masks and the gradient masks.
        measuring_sparse: of the same with the weight masks alone, by which gradients are measured; None where there
            are no gradient masks.
    """

    forward_dense: float
    forward_sparse: float
    training_dense: float
    training_sparse: float
    measuring_sparse: float | None = None


@dataclasses.dataclass(frozen=True)
class LayerFlops:
    """FLOPs of one sample that a masked layer adds, at a density of 1.

    Attributes:
        kept: what marks its kept weights, its mask or the rows of a compressed weight.
        updated: the most weights whose gradient is used.
        forward: of the forward pass.
        input_gradient: of the gradient of its input.
        weight_gradient: of the gradient of its weight.
        share: of the kept weights those whose gradient is used, where whole rows are chosen.
    """

    kept: Tensor
    updated: int
    forward: float
    input_gradient: float
    weight_gradient: float
    share: float = 1.0


@dataclasses.dataclass(frozen=True)
class MovingFlops:
    """FLOPs of one sample under masks whose density changes in a run.

    Attributes:
        forward: of the forward pass without the masked layers.
        training: of forward and backward pass without them.
        layers: the masked layers.
        measures_whole: whether the passes that measure gradients leave out the masks.
    """

    forward: float
    training: float
    layers: tuple[LayerFlops, ...]
    measures_whole: bool


def build(sample: SampleFlops, moving: MovingFlops | None = None) -> ir.Model:
    """Make the graph ``flops``.

    Inputs: ``samples_seen``, ``samples_replayed`` and ``samples_measured`` int64 [], presentations of current samples,
    of samples from the buffer, and of samples in the passes that measure gradients.
    Results, float64 []: ``paper_dense`` and ``paper_sparse`` (SparCL, section 4), forward and backward for a current
    sample, the forward pass alone for a replayed one, so that N samples, E epochs and r replay batches give
    ``N * E * f * (1 + 2 + r)``; ``true_dense`` and ``true_sparse``, where a replayed sample costs its backward pass
    too, and the sparse count includes the passes that measure gradients, which no gradient mask makes cheaper.

    With ``moving`` the graph also has the masks as inputs, and the state ``flops.counted`` int64 [3] and
    ``flops.spent`` float64 [2] with ``.next`` of both: the presentations since the last call cost what the masks say
    now. A run calls it before each mask update, and at the end.

    The samples are those really computed, so data removal counts through ``samples_seen``; for the dense baseline's
    total give the counts of a run without removal.

    Args:
        sample: the FLOPs of one sample.
        moving: those under masks whose density changes; None where ``sample`` holds throughout.
    """
    b = Builder("flops", "The FLOPs of so many presentations.")
    names = ("samples_seen", "samples_replayed", "samples_measured")
    totals = [b.feed(name, INT64, []) for name in names]
    if moving is None:
        _add_totals(b, [b.cast(total, DOUBLE) for total in totals], sample)
    else:
        _add_spent(b, totals, sample, moving)
    return b.model()


Number = ir.Value | float


def _paper(b: Builder, seen: ir.Value, replayed: ir.Value, training: Number, forward: Number) -> ir.Value:
    return b.op.Add(b.op.Mul(seen, training), b.op.Mul(replayed, forward))


def _add_totals(b: Builder, counts: Sequence[ir.Value], sample: SampleFlops) -> None:
    op, (seen, replayed, measured) = b.op, counts
    trained = op.Add(seen, replayed)
    b.result("paper_dense", _paper(b, seen, replayed, sample.training_dense, sample.forward_dense), DOUBLE, [])
    b.result("paper_sparse", _paper(b, seen, replayed, sample.training_sparse, sample.forward_sparse), DOUBLE, [])
    b.result("true_dense", op.Mul(trained, sample.training_dense), DOUBLE, [])
    b.result("true_sparse", _true_sparse(b, trained, measured, sample), DOUBLE, [])


def _true_sparse(b: Builder, trained: ir.Value, measured: ir.Value, sample: SampleFlops) -> ir.Value:
    op = b.op
    if sample.measuring_sparse is None:
        return op.Mul(op.Add(trained, measured), sample.training_sparse)
    return op.Add(op.Mul(trained, sample.training_sparse), op.Mul(measured, sample.measuring_sparse))


def _add_spent(b: Builder, totals: Sequence[ir.Value], sample: SampleFlops, moving: MovingFlops) -> None:
    """Add the presentations since the last call at the density of now."""
    op = b.op
    all_seen, all_replayed = (b.cast(total, DOUBLE) for total in totals[:2])
    b.result("paper_dense", _paper(b, all_seen, all_replayed, sample.training_dense, sample.forward_dense), DOUBLE, [])
    b.result("true_dense", op.Mul(op.Add(all_seen, all_replayed), sample.training_dense), DOUBLE, [])
    counted = b.state(COUNTED, INT64, [3], Role.RESULT)
    spent = b.state(SPENT, DOUBLE, [2], Role.RESULT)
    now = op.Concat(*(op.Reshape(total, [1]) for total in totals), axis=0)
    seen, replayed, measured = (op.Squeeze(one) for one in b.parts(b.cast(op.Sub(now, counted), DOUBLE), 3))
    forward, training, unmasked = _at_the_density(b, moving)
    measuring: Number = sample.training_dense if moving.measures_whole else unmasked
    paper = _paper(b, seen, replayed, training, forward)
    true = op.Add(op.Mul(op.Add(seen, replayed), training), op.Mul(measured, measuring))
    after = op.Add(spent, op.Concat(*(op.Reshape(one, [1]) for one in (paper, true)), axis=0))
    b.result(f"{COUNTED}.next", now, INT64, [3])
    b.result(f"{SPENT}.next", after, DOUBLE, [2])
    for name, one in zip(("paper_sparse", "true_sparse"), b.parts(after, 2), strict=True):
        b.result(name, op.Squeeze(one), DOUBLE, [])


def _at_the_density(b: Builder, moving: MovingFlops) -> tuple[ir.Value, ir.Value, ir.Value]:
    """The FLOPs of one sample's forward pass, and of its forward and backward pass with and without gradient masks.

    They are float64 [] each.
    """
    op, layers = b.op, moving.layers
    sizes = _constant(b, [layer.kept.size for layer in layers])
    kept = b.cast(op.Concat(*(kept_elements(b, layer.kept) for layer in layers), axis=0), DOUBLE)
    chosen = op.Mul(kept, _constant(b, [layer.share for layer in layers]))
    updated = op.Min(chosen, _constant(b, [layer.updated for layer in layers]))
    density, moved = op.Div(kept, sizes), op.Div(updated, sizes)

    def total(share: ir.Value, flops: Sequence[float]) -> ir.Value:
        return op.ReduceSum(op.Mul(share, _constant(b, flops)), keepdims=0)

    forward = total(density, [layer.forward for layer in layers])
    data = op.Add(forward, total(density, [layer.input_gradient for layer in layers]))
    weights = [layer.weight_gradient for layer in layers]
    training, unmasked = (op.Add(op.Add(data, total(share, weights)), moving.training) for share in (moved, density))
    return op.Add(forward, moving.forward), training, unmasked


def _constant(b: Builder, numbers: Sequence[float]) -> ir.Value:
    return b.op.Constant(value=ir.tensor(np.array(numbers, np.float64)))
