"""The memory of training: the peak of the activations and gradients, by layer, and the state beside it.

The estimate (``passes/analysis/liveness``) follows the target's executor: its order, its views, its in-place operators
and its kernels' workspaces under the session options of ``runtime/session/sessions.py``. Not in it: holes between the
values, the runtime's own code and graphs, and the optimizer's step, which runs when the activations are gone.
"""

import collections
import dataclasses
import math
from collections.abc import Iterable, Mapping

import numpy as np
import onnx_ir as ir

from sparcl_compile.costs.flops import weight_of
from sparcl_compile.interface.names import NEXT
from sparcl_compile.interface.options import BATCH_SIZE
from sparcl_compile.interface.report import LayerBytes, LiveValue, Memory, Recomputation
from sparcl_compile.interface.specs import StateSpec
from sparcl_compile.passes.analysis.liveness.buffers import Plan, lay_out, plan
from sparcl_compile.passes.analysis.liveness.chains import originals
from sparcl_compile.passes.analysis.liveness.executor import EXECUTORS, STOCK, Executor
from sparcl_compile.passes.analysis.liveness.in_place import overwritable
from sparcl_compile.passes.analysis.liveness.sizes import at_batch, bytes_of
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.core.unused import remove_unused
from sparcl_compile.passes.gradients.gradient import PART
from sparcl_compile.passes.scheduling.recompute_activations import is_again, is_recomputed, recompute_everything

LARGEST = 10
"""Number of the largest values that a report names."""

SAMPLES = "samples"
"""Length of a state tensor that has one entry for each sample of the task."""

OPEN_TYPES = ("sample", "sum")
"""Types of state tensors that the type of the run's samples decides."""


@dataclasses.dataclass(frozen=True)
class MemoryReport:
    """The memory of a graph at one batch size.

    Attributes:
        batch: samples.
        peak_bytes: the most that activations and gradients take at one time.
        at: the name of the node that runs then.
        by_layer: the bytes of it by layer, named by its weight, in graph order; ``""`` for values of no layer.
        largest: the largest values alive then.
        feed_bytes: graph inputs that are not state.
        result_bytes: graph outputs, but those that are written over the state.
        unknown: values whose size is unknown; where there are any, the peak is a lower bound.
    """

    batch: int
    peak_bytes: int
    at: str
    by_layer: Mapping[str, int]
    largest: tuple[LiveValue, ...]
    feed_bytes: int
    result_bytes: int
    unknown: tuple[str, ...]


def peak(model: ir.Model, batch: int = BATCH_SIZE, executor: Executor = EXECUTORS[STOCK]) -> MemoryReport:
    """Estimate a graph's peak memory; the model is not changed."""
    return _report(plan(model, batch, executor), batch)


def _report(found: Plan, batch: int) -> MemoryReport:
    graph = found.model.graph
    layers = _layers(graph)
    written_over = {f"{name}{NEXT}" for name in overwritable(graph)}
    values = [LiveValue(str(one.value.name), layers.get(one.value, ""), one.bytes) for one in found.live]
    return MemoryReport(
        batch=batch,
        peak_bytes=found.peak_bytes,
        at=found.node.name or found.node.op_type,
        by_layer=_by_layer(found, layers),
        largest=tuple(values[:LARGEST]),
        feed_bytes=_total(value for value in graph.inputs if role_of(value) is None),
        result_bytes=_total(value for value in graph.outputs if value.name not in written_over),
        unknown=found.unknown,
    )


def _total(values: Iterable[ir.Value]) -> int:
    return sum(bytes_of(value) or 0 for value in values)


def _layers(graph: ir.Graph) -> dict[ir.Value, str]:
    """The layer of each node output: the node's weight, else the layer of what it was made from, the latest of several.

    A gradient so belongs to the layer behind it until it has passed that layer's own gradient node.
    """
    layers: dict[ir.Value, str] = {}
    ranks: dict[str, int] = {"": -1}
    for node in graph:
        names = [layers[value] for value in node.inputs if value is not None and value in layers]
        layer = weight_of(node) or _latest(names, ranks)
        ranks.setdefault(layer, len(ranks))
        layers.update(dict.fromkeys(node.outputs, layer))
    return layers


def _latest(names: list[str], ranks: Mapping[str, int]) -> str:
    return max(names, key=ranks.__getitem__, default="")


def _by_layer(found: Plan, layers: Mapping[ir.Value, str]) -> dict[str, int]:
    sums: collections.Counter[str] = collections.Counter()
    for one in found.live:
        sums[layers.get(one.value, "")] += one.bytes
    sums[layers.get(found.node.outputs[0], "")] += found.workspace
    return {name: sums[name] for name in dict.fromkeys(layers.values()) if sums[name]}


def state_bytes(specs: Iterable[StateSpec]) -> dict[str, int]:
    """The bytes of the state by role; of role ``sample`` those of one sample.

    The sum leaves out tensors whose type or shape only the run's data and options decide, such as the replay buffer.
    """
    sums: collections.Counter[str] = collections.Counter()
    for spec in specs:
        lengths = [1 if length == SAMPLES else length for length in spec.shape]
        if spec.dtype not in OPEN_TYPES and all(isinstance(length, int) for length in lengths):
            sums[spec.role] += np.dtype(spec.dtype).itemsize * math.prod(map(int, lengths))
    return dict(sums)


def to_report(
    training: ir.Model, specs: Iterable[StateSpec], batch: int = BATCH_SIZE, executor: Executor = EXECUTORS[STOCK]
) -> Memory:
    """The report's ``memory`` of a training graph: the estimate as compiled, and with and without recomputation."""
    sized = at_batch(training, batch)
    found = _report(lay_out(sized, executor=executor), batch)
    recompute = _both_ways(sized, found, executor)
    return Memory(
        batch=found.batch,
        peak_activation_bytes=found.peak_bytes,
        at=found.at,
        by_layer=tuple(LayerBytes(name, size) for name, size in found.by_layer.items()),
        largest=found.largest,
        feed_bytes=found.feed_bytes,
        result_bytes=found.result_bytes,
        state_bytes=state_bytes(specs),
        unknown=found.unknown,
        recompute=recompute,
    )


def _both_ways(sized: ir.Model, found: MemoryReport, executor: Executor) -> Recomputation:
    """The peak without and with recomputation, from the one that is known; ``sized`` is turned into the other graph.

    Where it was not asked for, everything is recomputed that can be. The pass then keeps what does not raise the peak,
    which takes a search; the peak falls further only where it lies in the recomputation itself, or in the gradient of a
    convolution's weight, for which ``--recompute`` takes a form that holds less.
    """
    if is_recomputed(sized):
        keep_everything(sized)
        kept = lay_out(sized, executor=executor).peak_bytes
        return Recomputation(enabled=True, peak_without=kept, peak_with=found.peak_bytes, at_most=False)
    recompute_everything(sized)
    other = lay_out(sized, executor=executor)
    again = min(found.peak_bytes, other.peak_bytes)
    return Recomputation(
        enabled=False, peak_without=found.peak_bytes, peak_with=again, at_most=_is_in_chain(other) or _is_in_form(other)
    )


def _is_in_chain(found: Plan) -> bool:
    """Whether the peak lies in a recomputation: an intermediate value of one is alive there."""
    results = originals(found.model.graph)
    return any(is_again(one.value) and one.value not in results for one in found.live)


def _is_in_form(found: Plan) -> bool:
    """Whether a part of a convolution's weight gradient is alive at the peak."""
    layers = tuple(f"{node.name}{PART}" for node in found.model.graph if node.op_type in ("Conv", "ConvTranspose"))
    return any(str(one.value.name).startswith(layers) for one in found.live)


def keep_everything(model: ir.Model) -> None:
    """Undo ``recompute_activations`` in place: the backward reads the forward's values again."""
    for again, original in originals(model.graph).items():
        again.replace_all_uses_with(original)
    remove_unused(model)
