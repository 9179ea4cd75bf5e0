"""The graph that scores parameters: the squared gradients of samples, by the network as it evaluates."""

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import NEXT, Role
from sparcl_compile.passes.core.accumulation import GRADIENT, RESET, accumulations
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import float_attribute
from sparcl_compile.passes.core.roles import set_role
from sparcl_compile.passes.core.unused import remove_unused
from sparcl_compile.passes.core.values import constant, dims, value_named
from sparcl_compile.passes.differentiating.attach_loss import AttachLoss
from sparcl_compile.passes.differentiating.differentiate import Differentiate

SQUARES = ".squares"
"""Ending of the state with the sums of squared gradients."""
ACCUMULATOR = "_grad.accumulation.buffer"
EPSILON = 1e-5
"""ONNX's default."""


def scoring(made_by: Pass, forward: ir.Model) -> ir.Model:
    """A graph that adds the squared gradient of a loss to ``W.squares`` of every parameter that trains.

    1. BatchNormalization is ``(x - mean) * scale / sqrt(variance + epsilon) + shift`` with the running statistics: one
       sample has none of its own, and the importance of a parameter is that for the network that answers.
    2. The loss is that of ``attach_loss``, differentiated by our own rules under every target.
    3. Each accumulator becomes ``W.squares``, to which the square is added.

    Args:
        made_by: the pass whose nodes these are.
        forward: the forward graph with its data.

    Raises:
        UnsupportedOpsError: an operator has no gradient.
    """
    model = forward.clone()
    del model.graph.outputs[1:]
    for node in [node for node in model.graph if node.op_type == "BatchNormalization"]:
        _spell_out(made_by, model.graph, node)
    AttachLoss()(model)
    Differentiate()(model)
    _square(made_by, model)
    return model


def _spell_out(made_by: Pass, graph: ir.Graph, node: ir.Node) -> None:
    insert, name, out = made_by.inserter(graph).before(node), str(node.name), node.outputs[0]
    x, scale, shift, mean, variance = node.inputs[:5]
    if scale is None or shift is None or mean is None or variance is None:
        raise ValueError(f"BatchNormalization {name} lacks an input")
    rank, channels = len(out.shape or ()), dims(scale)
    epsilon = constant(graph, f"{name}.epsilon", np.array(float_attribute(node, "epsilon", EPSILON), np.float32))
    inner = constant(graph, "score.inner_" + str(rank), np.arange(1, rank - 1, dtype=np.int64))
    above = insert.op("Add", variance, epsilon, name=f"{name}.above", shape=channels)
    deviation = insert.op("Sqrt", above, name=f"{name}.deviation", shape=channels)
    parts = {"slope": insert.op("Div", scale, deviation, name=f"{name}.slope", shape=channels)}
    parts |= {"mean": mean, "shift": shift}
    shape = [*channels, *[1] * (rank - 2)]
    wide = {
        part: insert.op("Unsqueeze", value, inner, name=f"{name}.wide_{part}", shape=shape) if rank > 2 else value
        for part, value in parts.items()
    }
    centred = insert.op("Sub", x, wide["mean"], name=f"{name}.centred", like=out)
    sloped = insert.op("Mul", centred, wide["slope"], name=f"{name}.sloped", like=out)
    node.resize_outputs(1)
    insert.replace(*insert.node("Add", sloped, wide["shift"], name=f"{name}.shifted").outputs)


def _square(made_by: Pass, model: ir.Model) -> None:
    graph = model.graph
    insert = made_by.inserter(graph)
    for buffer, node in accumulations(graph).items():
        name = str(buffer.name).removesuffix(ACCUMULATOR) + SQUARES
        gradient, old = node.inputs[GRADIENT], node.outputs[0]
        if gradient is None:
            raise ValueError(f"{buffer.name} is added nothing to")
        squared = insert.op("Mul", gradient, gradient, name=f"{name}.added", like=buffer)
        total = insert.op("Add", buffer, squared, name=f"{name}{NEXT}", like=buffer)
        graph.outputs[:] = [total if value is old else value for value in graph.outputs]
        buffer.name = name
        set_role(buffer, Role.METHOD)
    remove_unused(model)
    reset = value_named(graph, RESET)
    graph.inputs[:] = [value for value in graph.inputs if value is not reset]
