"""Compute cheap activations a second time in the backward pass instead of keeping them."""

import dataclasses
from collections.abc import Collection

import onnx_ir as ir

from sparcl_compile.passes.analysis.liveness.buffers import lay_out
from sparcl_compile.passes.analysis.liveness.chains import backward_nodes, candidates
from sparcl_compile.passes.analysis.liveness.executor import STOCK, Executor, executor_of
from sparcl_compile.passes.analysis.liveness.sizes import at_batch, bytes_of
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import DIFFERENTIATED
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.scheduling.chains import Chains


@dataclasses.dataclass(frozen=True)
class RecomputeActivations(Pass):
    """Let the backward read activations that are computed anew from what it keeps anyway.

    1. A candidate is the output of a BatchNormalization, a ReLU, a Clip or an Add that the backward reads, if a
       BatchNormalization stands between it and the nearest kept values. A BatchNormalization's gradient keeps the
       convolution's output and the batch's statistics, so that everything up to the next convolution is elementwise
       work on kept values. A ReLU right behind a convolution is none: ONNX Runtime writes it over its input.
    2. Each candidate gets a chain of its own: ``BatchNormalization`` in inference form on the kept statistics (the gain
       times the inverse deviation as scale, a variance of 1 and an epsilon of 0, which gives the very bits of the
       builder's forward; that of the target ``ort`` may differ in the last one), then its Adds, ReLUs and Clips. What
       the chain needs on the way and is not kept is computed again as well, over at most ``MAX_ADDS`` residual
       additions; a value behind more of them is kept. So is what is compared with another value (``chains.py``). A
       batch-last normalisation of the sparse kernels, with its addend and its ReLU, is one node again: BatchNormApply,
       from the factor and the offset that the forward gives, to the bit and in the precision that the backward reads.
    3. The chain stands behind the forward node in the file, and depends on nothing of the backward. ONNX Runtime visits
       of two inputs the younger one first, so a chain runs when the gradient is there, just before its reader.
    4. Nothing may merge the copies again: they are another operator than the forward's, and where two chains
       normalise the same value, their attribute ``momentum``, which inference form ignores, differs. Operators of a
       domain that ONNX Runtime does not know it does not merge.
    5. Only what lowers the peak (``liveness/buffers.py``, at ``batch`` samples) is recomputed: first everything, then,
       small values first, whatever can be kept without raising the peak again is kept.

    Options:
        enabled: whether to do anything.
        batch: the batch size that the peak is estimated for.
        executor: the build of ONNX Runtime that the peak is estimated for (``liveness/executor.py``).
    """

    phase = Phase.SCHEDULING
    needs = (DIFFERENTIATED,)

    enabled: bool = False
    batch: int = 32
    executor: str = STOCK

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Recompute in a differentiated graph."""
        if not self.enabled or is_recomputed(model):
            return ir.passes.PassResult(model, False)
        chosen = choose(at_batch(model, self.batch), self, executor_of(self.executor))
        apply(model, chosen, self)
        return ir.passes.PassResult(model, bool(chosen))


def is_recomputed(model: ir.Model) -> bool:
    """Whether the graph holds recomputed activations."""
    return any(_is_made_here(node) for node in model.graph)


def is_again(value: ir.Value) -> bool:
    """Whether a value is a recomputed activation, or is computed on the way to one."""
    node = value.producer()
    return node is not None and _is_made_here(node)


def _is_made_here(node: ir.Node) -> bool:
    return node.metadata_props.get(PASS_KEY) == RecomputeActivations().name


def choose(sized: ir.Model, made_by: Pass, executor: Executor) -> tuple[str, ...]:
    """The names of the activations whose recomputation lowers the peak, in graph order; the model is not changed."""
    found = candidates(sized.graph, backward_nodes(sized.graph))
    names = [str(value.name) for value in found]
    sizes = {str(value.name): bytes_of(value) or 0 for value in found}
    lowest = _peak(sized, names, made_by, executor)
    if lowest >= lay_out(sized, executor=executor).peak_bytes:
        return ()
    for name in sorted(reversed(names), key=sizes.__getitem__):
        fewer = [other for other in names if other != name]
        peak = _peak(sized, fewer, made_by, executor)
        if peak <= lowest:
            names, lowest = fewer, peak
    return tuple(names)


def recompute_everything(model: ir.Model) -> None:
    """Recompute in place whatever can be, whether that lowers the peak or not."""
    names = [str(value.name) for value in candidates(model.graph, backward_nodes(model.graph))]
    apply(model, names, RecomputeActivations())


def _peak(sized: ir.Model, names: Collection[str], made_by: Pass, executor: Executor) -> int:
    trial = sized.clone()
    apply(trial, names, made_by)
    return lay_out(trial, executor=executor).peak_bytes


def apply(model: ir.Model, names: Collection[str], made_by: Pass) -> None:
    """Give each named activation its chain, and let the backward read that."""
    graph = model.graph
    backward = backward_nodes(graph)
    wanted = frozenset(names)
    chosen = [value for value in candidates(graph, backward) if value.name in wanted]
    chains = Chains(graph, backward, set(chosen), made_by)
    for value in chosen:
        chains.recompute(value)
