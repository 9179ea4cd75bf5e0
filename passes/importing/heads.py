"""The end of the classifier: the value called logits, and the layer that makes it."""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.analysis.heads import find_head, weight_slot
from sparcl_compile.passes.core import draws
from sparcl_compile.passes.core.edit import (
    Names,
    array_of,
    fresh_name,
    int_attribute,
    is_float_constant,
    new_constant,
    set_array,
)
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.values import all_values
from sparcl_compile.passes.core.worlds import Worlds
from sparcl_compile.passes.importing.naming import ORIGIN
from sparcl_compile.passes.importing.outputs import Head, is_above


def set_interface(graph: ir.Graph, head: Head, worlds: Worlds) -> bool:
    """Name the input ``x`` and leave ``logits`` [N, C] as the only output; returns whether anything changed."""
    (x,) = graph.inputs
    logits = head.logits
    unchanged = list(graph.outputs) == [logits] and logits.name == "logits" and x.name == "x" and not head.binary
    if unchanged and len(worlds.small.shape(logits) or ()) == 2:
        return False
    graph.outputs.clear()
    if len(worlds.small.shape(logits) or ()) != 2 or logits.is_graph_input() or logits.is_initializer():
        logits = flattened(graph, logits)
        worlds.visit(logits.producer())  # type: ignore[arg-type]
    if head.binary:
        logits = two_logits(graph, logits)
        worlds.visit(logits.producer())  # type: ignore[arg-type]
    rename(graph, x, "x")
    rename(graph, logits, "logits")
    graph.outputs.append(logits)
    return True


def flattened(graph: ir.Graph, value: ir.Value) -> ir.Value:
    """The value as [N, C]."""
    return Inserter(ORIGIN, graph, Names(graph)).op("Flatten", value, name="flatten_logits", axis=1)


def two_logits(graph: ir.Graph, logit: ir.Value) -> ir.Value:
    """The logits [0, z] for the one logit z: their softmax has sigmoid(z) for the second class."""
    names = Names(graph)
    before = new_constant(graph, names, "two_logits.pads", np.asarray([0, 1, 0, 0], np.int64))
    return Inserter(ORIGIN, graph, names).op("Pad", logit, before, name="two_logits")


def one_logit(graph: ir.Graph) -> None:
    """Undo ``two_logits``, for a head that is to be replaced."""
    pad = graph.outputs[0].producer()
    if pad is None or pad.inputs[0] is None:
        raise ValueError("the logits are made by no node")
    logit = pad.inputs[0]
    graph.outputs[0] = logit
    graph.remove(pad, safe=True)
    logit.name = "logits"


def rename(graph: ir.Graph, value: ir.Value, name: str) -> None:
    """Give a value this name; another value that has it gets a new one."""
    if value.name == name:
        return
    for other in [other for other in all_values(graph) if other.name == name]:
        other.name = fresh_name(graph, f"{name}_inner")
    value.name = name


def class_axis(node: ir.Node, slot: int) -> int:
    """The axis of the weight that counts the classes."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        return 0 if int_attribute(node, "transB", 0) else 1
    return -1 if slot == 1 else -2


def replace_head(graph: ir.Graph, old: int, classes: int, seed: int) -> None:
    """A fresh last layer for another number of classes.

    Weight and bias are drawn from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), PyTorch's default for Linear and Conv2d.

    Raises:
        ModelError: the last layer is not a Gemm, MatMul or Conv that feeds the logits directly.
    """
    node = find_head(graph)
    slot = None if node is None else weight_slot(node)
    if node is None or slot is None or (slot == 0 and node.op_type == "Gemm"):
        raise ModelError("the last layer (Gemm, MatMul or Conv) cannot be found: `classes` cannot replace the head")
    weight = node.inputs[slot]
    data = array_of(weight)
    if weight is None or data is None or data.shape[class_axis(node, slot)] != old:
        raise ModelError(
            f"the last layer {node.name} does not make the {old} logits itself: `classes` cannot replace the head"
        )
    if len(list(weight.uses())) > 1:
        raise ModelError(f"the last layer's weight {weight.name} is used elsewhere too: `classes` cannot replace it")
    shape = list(data.shape)
    shape[class_axis(node, slot)] = classes
    bound = float(np.sqrt(classes / np.prod(shape)))
    generator = draws.generator(seed)
    set_array(weight, generator.uniform(-bound, bound, shape).astype(np.float32))
    if node.op_type != "MatMul" and len(node.inputs) > 2 and is_float_constant(node.inputs[2]):
        fresh_bias(node.inputs[2], old, classes, bound, generator)
    widen_followers(graph, node.outputs[0], old, classes, bound, generator)


def fresh_bias(value: ir.Value | None, old: int, classes: int, bound: float, generator: draws.Generator) -> None:
    """Draw a bias anew with the new number of classes."""
    data = array_of(value)
    if value is None or data is None or old not in data.shape:
        return
    shape = [classes if length == old else length for length in data.shape]
    set_array(value, generator.uniform(-bound, bound, shape).astype(np.float32))


def widen_followers(
    graph: ir.Graph, value: ir.Value, old: int, classes: int, bound: float, generator: draws.Generator
) -> None:
    """Adapt what stands between the last layer and the logits: the bias of an Add, the target of a Reshape."""
    for node, slot, data in _inputs_by_classes(graph, value, old):
        if node.op_type == "Add":
            fresh_bias(node.inputs[slot], old, classes, bound, generator)
        elif node.op_type == "Reshape":
            lengths = [classes if n == old else int(n) for n in data]
            node.replace_input_with(slot, Inserter(ORIGIN, graph).before(node).ints("shape", lengths))
        else:
            raise ModelError(
                f"node {node.name} ({node.op_type}) between the last layer and the logits depends on the number "
                "of classes: `classes` cannot replace the head"
            )


def _inputs_by_classes(graph: ir.Graph, value: ir.Value, old: int) -> Iterator[tuple[ir.Node, int, np.ndarray]]:
    """The constants between a value and the logits that depend on the number of classes: node, input and data."""
    below = [node for node in graph if value in node.inputs or is_above(value, node.outputs[0])]
    inputs = ((node, slot, array_of(one)) for node in below for slot, one in enumerate(node.inputs))
    for node, slot, data in inputs:
        if data is not None and old in (*data.shape, *sizes(node, slot, data)):
            yield node, slot, data


def sizes(node: ir.Node, slot: int, data: np.ndarray) -> list[int]:
    """The lengths that a Reshape's target names."""
    return [int(n) for n in data] if node.op_type == "Reshape" and slot == 1 else []
