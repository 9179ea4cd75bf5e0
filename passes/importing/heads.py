"""The end of the classifier: which output holds the logits, and the layer that makes them."""

import dataclasses

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
    set_array,
    taken_names,
)
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.values import all_values
from sparcl_compile.passes.core.worlds import Worlds
from sparcl_compile.passes.importing.naming import ORIGIN

ACTIVATIONS = ("Softmax", "LogSoftmax")
PASSING = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast"}


@dataclasses.dataclass(frozen=True)
class Head:
    """The chosen output: the value before its activation, the activation, and which of the model's outputs it was."""

    logits: ir.Value
    activation: str | None
    index: int


def choose_head(graph: ir.Graph, worlds: Worlds) -> Head:
    """The float [N, C] output, without a final Softmax or LogSoftmax; raises ModelError when there is none.

    Of several outputs the one furthest down counts (features before logits before probabilities), then the first.
    """
    heads = [strip(value, i, worlds) for i, value in enumerate(graph.outputs) if is_scores(value, worlds)]
    if not heads:
        shapes = ", ".join(f"{value.name} {worlds.symbolic(value)}" for value in graph.outputs)
        raise ModelError(
            f"no output holds class scores (float [N, C], growing with the batch); the outputs are: {shapes}; "
            "export the classifier with a symbolic batch"
        )
    logits = [head.logits for head in heads]
    last = [head for head in heads if not any(is_above(head.logits, other) for other in logits)]
    return last[0]


def is_scores(value: ir.Value, worlds: Worlds) -> bool:
    """Whether a value is float and [N, C], or [N, C] with ones around."""
    fact = worlds.small.fact(value)
    if fact is None or fact.shape is None or fact.dtype != int(ir.DataType.FLOAT):
        return False
    shape = fact.shape
    wide = [length for axis, length in enumerate(shape) if axis and length != 1]
    return len(shape) >= 2 and worlds.batch_axes(value) == [0] and len(wide) <= 1 and shape[0] == worlds.small.batch


def strip(output: ir.Value, index: int, worlds: Worlds) -> Head:
    """Walk up from an output over a final activation, if there is one."""
    value = output
    node = value.producer()
    while node is not None and node.op_type in PASSING and is_scores_input(node, worlds):
        value = node.inputs[0]  # type: ignore[assignment]
        node = value.producer()
    if node is None or node.op_type not in ACTIVATIONS or not over_classes(node, worlds):
        return Head(output, None, index)
    return Head(node.inputs[0], node.op_type, index)  # type: ignore[arg-type]


def is_scores_input(node: ir.Node, worlds: Worlds) -> bool:
    """Whether the node only reshapes class scores."""
    source = node.inputs[0]
    return source is not None and is_scores(source, worlds)


def over_classes(node: ir.Node, worlds: Worlds) -> bool:
    """Whether the activation runs over the axis of the classes."""
    source = node.inputs[0]
    if source is None or not is_scores(source, worlds):
        return False
    shape = worlds.small.shape(source) or ()
    axis = int_attribute(node, "axis", -1) % len(shape)
    return axis > 0 and int(np.prod(shape[1:])) == shape[axis]


def is_above(upper: ir.Value, lower: ir.Value) -> bool:
    """Whether ``lower`` is computed from ``upper``."""
    waiting, seen = [lower], set()
    while waiting:
        node = waiting.pop().producer()
        if node is None or node in seen:
            continue
        seen.add(node)
        if upper in node.inputs:
            return True
        waiting.extend(value for value in node.inputs if value is not None)
    return False


def set_interface(graph: ir.Graph, head: Head, worlds: Worlds) -> bool:
    """Name the input ``x`` and leave ``logits`` [N, C] as the only output; returns whether anything changed."""
    (x,) = graph.inputs
    logits = head.logits
    unchanged = list(graph.outputs) == [logits] and logits.name == "logits" and x.name == "x"
    if unchanged and len(worlds.small.shape(logits) or ()) == 2:
        return False
    graph.outputs.clear()
    if len(worlds.small.shape(logits) or ()) > 2 or logits.is_graph_input() or logits.is_initializer():
        logits = flattened(graph, logits)
        worlds.visit(logits.producer())  # type: ignore[arg-type]
    rename(graph, x, "x")
    rename(graph, logits, "logits")
    graph.outputs.append(logits)
    return True


def flattened(graph: ir.Graph, value: ir.Value) -> ir.Value:
    """The value as [N, C]."""
    return Inserter(ORIGIN, graph, Names(graph)).op("Flatten", value, name="flatten_logits", axis=1)


def rename(graph: ir.Graph, value: ir.Value, name: str) -> None:
    """Give a value this name; another value that has it gets a new one."""
    if value.name == name:
        return
    if name in taken_names(graph):
        for other in all_values(graph):
            if other.name == name:
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
    for node in list(graph):
        if value not in node.inputs and not is_above(value, node.outputs[0]):
            continue
        for slot, other in enumerate(node.inputs):
            data = array_of(other)
            if other is None or data is None or old not in (*data.shape, *sizes(node, slot, data)):
                continue
            if node.op_type == "Add":
                fresh_bias(other, old, classes, bound, generator)
            elif node.op_type == "Reshape":
                target = (
                    Inserter(ORIGIN, graph).before(node).ints("shape", [classes if n == old else int(n) for n in data])
                )
                node.replace_input_with(slot, target)
            else:
                raise ModelError(
                    f"node {node.name} ({node.op_type}) between the last layer and the logits depends on the number "
                    "of classes: `classes` cannot replace the head"
                )


def sizes(node: ir.Node, slot: int, data: np.ndarray) -> list[int]:
    """The lengths that a Reshape's target names."""
    return [int(n) for n in data] if node.op_type == "Reshape" and slot == 1 else []
