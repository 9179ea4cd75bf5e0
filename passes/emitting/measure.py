"""The graph that measures gradients: a training graph that changes no state and gives what mask updates ask for."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import NEXT, Role, accumulator_name, gradient_mask_name, mask_name
from sparcl_compile.passes.core.accumulation import GRADIENT, RESET, accumulations
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.core.unmask import without_mask
from sparcl_compile.passes.core.unused import remove_unused
from sparcl_compile.passes.core.values import FLOAT, constant, value_named

MEASURED = ".measured"
"""Suffix of a running statistic as a result of ``measure``."""


FRICTION = 0.9
"""The share of the smoothed gradient that a step leaves: the momentum of Dettmers and Zettlemoyer, 2019."""


def to_measuring(model: ir.Model, pruned: bool = False, smooth: Inserter | None = None) -> None:
    """Turn a training graph that stores gradients into the measuring graph, in place.

    1. Gradients of weights without a mask go: no mask update reads them.
    2. Every kept weight is measured, whatever the gradient masks choose: they make way for the weight masks.
    3. The next running statistics stay, as results under names of their own: where they are not asked for, ONNX Runtime
       writes them over the current ones, which belong to the caller. All other next values go.
    4. With ``pruned`` the gradients of pruned weights are measured, too: the weight masks go, of the layers and of the
       gradients. Pruned weights are 0, so the layers compute what they computed with the masks.
    5. With ``smooth``, which inserts nodes, the first batch of a step leaves 0.9 of what was measured, where it would
       leave nothing: the gradients are those of the momentum of SGD (Dettmers and Zettlemoyer, "Sparse networks from
       scratch", arXiv 1907.04840, 2019).
    """
    model.functions.clear()
    graph = model.graph
    inputs = {str(value.name): value for value in graph.inputs}
    masked = dict.fromkeys(str(weight.name) for weight in masked_layers(model))
    for name in masked:
        _measure_whole(graph, inputs, name)
        if pruned:
            _measure_pruned(graph, inputs, name)
    measured = {inputs.get(accumulator_name(name)) for name in masked}
    _drop_accumulators(graph, [node for buffer, node in accumulations(graph).items() if buffer not in measured])
    if smooth is not None:
        _smooth(graph, smooth)
    _leave_state(model)
    remove_unused(model)
    graph.inputs[:] = [value for value in graph.inputs if any(True for _ in value.uses())]


def _measure_whole(graph: ir.Graph, inputs: Mapping[str, ir.Value], weight: str) -> None:
    """Let the weight's mask take the place of its gradient mask."""
    chosen = inputs.get(gradient_mask_name(weight))
    if chosen is None:
        return
    if mask := inputs.get(mask_name(weight)):
        chosen.replace_all_uses_with(mask)
        return
    for usage in list(chosen.uses()):
        without_mask(graph, usage.node, chosen)


def _measure_pruned(graph: ir.Graph, inputs: Mapping[str, ir.Value], weight: str) -> None:
    """Let nothing be multiplied by the weight's mask; a compressed weight has none."""
    if mask := inputs.get(mask_name(weight)):
        for usage in list(mask.uses()):
            without_mask(graph, usage.node, mask)


def _smooth(graph: ir.Graph, insert: Inserter) -> None:
    """Replace each adder by one that keeps a share of the accumulator where it would begin anew."""
    reset = value_named(graph, RESET)
    friction = constant(graph, "smooth.friction", np.array([FRICTION], np.float32))
    one = constant(graph, "smooth.one", np.ones(1, np.float32))
    keep = insert.op("Where", reset, friction, one, name="smooth.keep", shape=[1], dtype=FLOAT)
    for buffer, adder in accumulations(graph).items():
        gradient, old, name = adder.inputs[GRADIENT], adder.outputs[0], str(buffer.name)
        kept = insert.op("Mul", buffer, keep, name=f"{name}.kept_share", like=buffer)
        graph.outputs[:] = [value for value in graph.outputs if value is not old]
        graph.remove(adder, safe=True)
        graph.outputs.append(insert.op("Add", kept, gradient, name=f"{name}{NEXT}", like=buffer))


def _drop_accumulators(graph: ir.Graph, adders: Sequence[ir.Node]) -> None:
    """Remove nodes that add to accumulators, and so what computes those gradients alone."""
    graph.outputs[:] = [value for value in graph.outputs if value.producer() not in adders]
    graph.remove(adders, safe=True)


def _leave_state(model: ir.Model) -> None:
    graph = model.graph
    running = {f"{value.name}{NEXT}" for value in values_with_role(model, Role.RUNNING_STAT)}
    measured = {f"{value.name}{NEXT}" for value in values_with_role(model, Role.GRADIENT)}
    left = running | measured
    graph.outputs[:] = [v for v in graph.outputs if v.name in left or not str(v.name).endswith(NEXT)]
    for value in [value for value in graph.outputs if value.name in running]:
        value.name = str(value.name).removesuffix(NEXT) + MEASURED
