"""The FLOPs of a run, from those of one sample."""

import dataclasses

import onnx_ir as ir

from sparcl_compile.graphs.builder import DOUBLE, INT64, Builder


@dataclasses.dataclass(frozen=True)
class SampleFlops:
    """FLOPs of one sample's forward pass, and of its forward and backward pass, dense and with the sparsities."""

    forward_dense: float
    forward_sparse: float
    training_dense: float
    training_sparse: float


def build(sample: SampleFlops) -> ir.Model:
    """Make the graph ``flops``.

    Inputs: ``samples_seen``, ``samples_replayed`` and ``samples_measured`` int64 [], presentations of current samples,
    of samples from the buffer, and of samples in the passes that measure gradients.
    Results, float64 []: ``paper_dense`` and ``paper_sparse`` (SparCL, section 4), forward and backward for a current
    sample, the forward pass alone for a replayed one, so that N samples, E epochs and r replay batches give
    ``N * E * f * (1 + 2 + r)``; ``true_dense`` and ``true_sparse``, where a replayed sample costs its backward pass
    too, and the sparse count includes the passes that measure gradients.

    The samples are those really computed, so data removal counts through ``samples_seen``; for the dense baseline's
    total give the counts of a run without removal.

    Args:
        sample: the FLOPs of one sample.
    """
    b = Builder("flops", "The FLOPs of so many presentations.")
    op = b.op
    names = ("samples_seen", "samples_replayed", "samples_measured")
    seen, replayed, measured = (b.cast(b.feed(name, INT64, []), DOUBLE) for name in names)
    trained = op.Add(seen, replayed)

    def paper(training: float, forward: float) -> ir.Value:
        return op.Add(op.Mul(seen, training), op.Mul(replayed, forward))

    b.result("paper_dense", paper(sample.training_dense, sample.forward_dense), DOUBLE, [])
    b.result("paper_sparse", paper(sample.training_sparse, sample.forward_sparse), DOUBLE, [])
    b.result("true_dense", op.Mul(trained, sample.training_dense), DOUBLE, [])
    b.result("true_sparse", op.Mul(op.Add(trained, measured), sample.training_sparse), DOUBLE, [])
    return b.model()
