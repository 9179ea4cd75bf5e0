"""The outputs of a classifier: which of them holds the class scores, and what stands between its layers and them."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from sparcl_compile.interface.errors import FieldError, ModelError
from sparcl_compile.passes.analysis.heads import above, has_weight
from sparcl_compile.passes.core.edit import array_of, int_attribute
from sparcl_compile.passes.core.worlds import Worlds
from sparcl_compile.passes.importing.batch import mend as mend_batch

SIGMOID, BINARY_SIGMOID, SHARED_SIGMOID = "Sigmoid", "BinarySigmoid", "SharedSigmoid"
PASSING = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast"}
OVER_CLASSES = ("Softmax", "LogSoftmax")

STRAIGHT = {*PASSING, "Add"}
"""Operators behind a layer that belong to it."""
LENGTH_ONE = "LpNormalization"

NO_SCORES = {
    "TopK": "keeps the largest scores only, in their order",
    "ArgMax": "gives the number of a class",
    "ArgMin": "gives the number of a class",
    "Hardmax": "gives one class alone",
    "OneHot": "gives one class alone",
    LENGTH_ONE: "normalises them to length 1",
}
"""Operators behind the last layer whose results are no scores to train by, and the reason."""
LENGTHS = {"ReduceL1", "ReduceL2", "ReduceSum", "ReduceSumSquare", "ReduceMax", LENGTH_ONE}
LENGTH_STEPS = {"Clip", "Max", "Add", "Sqrt", "Pow", "Expand", "Unsqueeze", "Cast", "Identity", "Reshape"}
"""Operators that may stand between a length over the classes and the division by it."""

BOUNDS = {"Relu": "none is below 0", "Tanh": "all lie between -1 and 1"}
"""Activations that hold scores back where the loss would move them on, and how."""
AVERAGES = {"GlobalAveragePool", "AveragePool", "ReduceMean", "Dropout"}


@dataclasses.dataclass(frozen=True)
class Head:
    """An output that holds class scores.

    Attributes:
        logits: the value before the activation.
        activation: the activation that was left out, as ``verify.ACTIVATIONS`` calls it.
        output: the name of the output.
        width: how many scores a sample has.
        binary: whether the one logit z stands for the two logits 0 and z.
        layers: how many layers with weights are above.
        objection: why the logits are no scores to train by; None when they are.
        doubt: why they train badly; None when they do not.
    """

    logits: ir.Value
    activation: str | None
    output: str
    width: int
    binary: bool
    layers: int
    objection: str | None
    doubt: str | None


def cut(model: ir.Model, wanted: str | None) -> None:
    """Leave the outputs that can hold class scores, so that what only the others need is not judged.

    Those are the value that the user names, or else the outputs of float32 when there are any: classifiers also give
    the label as a number or a text.

    Raises:
        FieldError: the graph has no value of that name.
    """
    graph = model.graph
    kept = [named(graph, wanted)] if wanted is not None else [v for v in graph.outputs if v.dtype is ir.DataType.FLOAT]
    if not kept or list(graph.outputs) == kept:
        return
    graph.outputs.clear()
    graph.outputs.extend(kept)
    RemoveUnusedNodesPass()(model)


def named(graph: ir.Graph, name: str) -> ir.Value:
    """The result of this name; raises FieldError, which lists the outputs."""
    for value in (out for node in graph for out in node.outputs):
        if value.name == name:
            return value
    mend = f"give one of {', '.join(str(value.name) for value in graph.outputs)}"
    raise FieldError("logits", name, "is no value that the model computes", mend)


def choose_head(graph: ir.Graph, worlds: Worlds) -> Head:
    """Find the output with the class scores, seen without its activation.

    Of several the one below most layers counts (an embedding has fewer than the logits, an auxiliary classifier fewer
    than the main one), then one with several classes, then the one furthest down, then the first.

    Raises:
        ModelError: there is none, or what stands behind its last layer leaves no scores to train by.
    """
    heads = [head_of(value, worlds) for value in graph.outputs if is_scores(value, worlds)]
    if not heads:
        shapes = ", ".join(f"{value.name} {worlds.symbolic(value)}" for value in graph.outputs)
        raise ModelError(
            f"no output holds class scores (float [N, C], growing with the batch); the outputs are: {shapes}"
            f"{losing(graph, worlds) or '; export the classifier with its logits as an output'}"
        )
    logits = [head.logits for head in heads]

    def rank(head: Head) -> tuple[bool, int, bool, int]:
        below = sum(is_above(other, head.logits) for other in logits)
        return head.objection is None, head.layers, head.width > 1, below

    best = max(heads, key=rank)
    if best.objection is not None:
        raise ModelError(f"output {best.output}: {best.objection}")
    return best


def losing(graph: ir.Graph, worlds: Worlds) -> str:
    """The end of a sentence: the first node whose operands depend on the batch and whose results do not, and a mend."""
    for node in graph:
        into = any(worlds.batch_axes(value) for value in node.inputs)
        if into and node.op_type not in ("Shape", "Size") and not any(worlds.batch_axes(out) for out in node.outputs):
            return f", since {node.op_type} ({node.name}) keeps no batch; {mend_batch(graph)}"
    grown = [worlds.small.shape(value) for value in graph.outputs if worlds.batch_axes(value)]
    joined = any(worlds.small.batch not in shape for shape in grown if shape)
    return f", with several samples in a row; {mend_batch(graph)}" if joined else ""


def is_scores(value: ir.Value | None, worlds: Worlds) -> bool:
    """Whether a value is float and [N, C], [N, C] with ones around, or [N]."""
    fact = worlds.small.fact(value)
    if fact is None or fact.shape is None or fact.dtype != int(ir.DataType.FLOAT):
        return False
    shape = fact.shape
    wide = [length for axis, length in enumerate(shape) if axis and length != 1]
    return len(shape) >= 1 and worlds.batch_axes(value) == [0] and len(wide) <= 1 and shape[0] == worlds.small.batch


def width_of(value: ir.Value | None, worlds: Worlds) -> int:
    """The number of scores of a sample."""
    return int(np.prod((worlds.small.shape(value) or ())[1:], dtype=np.int64))


def head_of(output: ir.Value, worlds: Worlds) -> Head:
    """An output seen without its activation."""
    logits, activation, binary = strip(output, worlds)
    layers = sum(has_weight(node) for node in above(logits))
    objection = next(objections(logits, worlds), None)
    doubt = bound(logits, worlds)
    return Head(logits, activation, str(output.name), width_of(logits, worlds), binary, layers, objection, doubt)


def strip(output: ir.Value, worlds: Worlds) -> tuple[ir.Value, str | None, bool]:
    """Walk up from an output over a final activation: the logits, the activation, and whether one logit means two."""
    node = maker(output, worlds)
    found = None if node is None else node.op_type
    if node is None or found not in (*OVER_CLASSES, "Log", SIGMOID, "Concat", LENGTH_ONE):
        return output, None, False
    source = node.inputs[0]
    if found == LENGTH_ONE:
        return shared(node, output, worlds)
    if found == SIGMOID and source is not None and is_scores(source, worlds):
        single = width_of(source, worlds) == 1
        return source, BINARY_SIGMOID if single else SIGMOID, single
    if found == "Concat" and (chance := posterior(node, worlds)):
        return chance, "Softmax", True
    if found == "Log":
        inner = maker(source, worlds)
        node, found = (inner, "LogSoftmax") if inner is not None and inner.op_type == "Softmax" else (node, None)
    if found in OVER_CLASSES and over_classes(node, worlds) and node.inputs[0] is not None:
        return node.inputs[0], found, False
    return output, None, False


def shared(node: ir.Node, output: ir.Value, worlds: Worlds) -> tuple[ir.Value, str | None, bool]:
    """As ``strip``, over a division by the sum, by which scikit-learn's converter lets probabilities add up to 1.

    Those of a softmax, or of one sigmoid and its rest, do so already.
    """
    if int_attribute(node, "p", 2) != 1 or node.inputs[0] is None:
        return output, None, False
    logits, activation, binary = strip(node.inputs[0], worlds)
    if activation == SIGMOID:
        return logits, SHARED_SIGMOID, False
    return (logits, activation, binary) if activation == "Softmax" else (output, None, False)


def maker(value: ir.Value | None, worlds: Worlds) -> ir.Node | None:
    """The node that makes class scores, seen through those that only reshape them."""
    node = None if value is None else value.producer()
    while node is not None and node.op_type in PASSING and is_scores(node.inputs[0], worlds):
        node = node.inputs[0].producer()  # type: ignore[union-attr]
    return node


def posterior(node: ir.Node, worlds: Worlds) -> ir.Value | None:
    """The logit z behind Concat(1 - sigmoid(z), sigmoid(z)), as scikit-learn's converter writes two classes."""
    if len(node.inputs) != 2 or width_of(node.outputs[0], worlds) != 2:
        return None
    other, chance = (maker(value, worlds) for value in node.inputs)
    if other is None or chance is None or (other.op_type, chance.op_type) != ("Sub", SIGMOID):
        return None
    one = array_of(other.inputs[0])
    same = maker(other.inputs[1], worlds) is chance
    return chance.inputs[0] if same and one is not None and bool(np.all(one == 1)) else None


def over_classes(node: ir.Node, worlds: Worlds) -> bool:
    """Whether the activation runs over the axis of the classes."""
    source = node.inputs[0]
    shape = worlds.small.shape(source) or ()
    if source is None or not is_scores(source, worlds) or len(shape) < 2:
        return False
    axis = int_attribute(node, "axis", -1) % len(shape)
    return axis > 0 and int(np.prod(shape[1:])) == shape[axis]


def objections(logits: ir.Value, worlds: Worlds) -> Iterator[str]:
    """The reasons, nearest first, why a value holds no scores to train by: what stands behind the last layer."""
    width = width_of(logits, worlds)
    for node in above(logits, has_weight):
        reason = NO_SCORES.get(node.op_type) or normalises(node, worlds)
        if node.op_type in OVER_CLASSES and over_classes(node, worlds) and width_of(node.inputs[0], worlds) == width:
            reason = "is no final activation, since something follows it"
        if reason:
            yield f"{node.op_type} ({node.name}) behind the last layer {reason}; {mend(node, worlds)}"


def mend(node: ir.Node, worlds: Worlds) -> str:
    """The way past an operator that leaves no scores."""
    source = unbent(node.inputs[0], worlds)
    if source is None:
        return "export the classifier with its logits as an output"
    return f"give `logits` {source.name} if those are the logits, or export the classifier with its logits as an output"


def unbent(value: ir.Value | None, worlds: Worlds) -> ir.Value | None:
    """The scores above all that bends them behind the last layer (sigmoids, exponentials); None where there are none.

    Scores that are bent already train badly: scikit-learn's converter divides sigmoids by their sum.
    """
    found = here = value
    while here is not None and (node := here.producer()) is not None and not has_weight(node):
        here = next((one for one in node.inputs if one is not None and one.producer() is not None), None)
        found = found if node.op_type in STRAIGHT else here
    if not is_scores(found, worlds):
        return None
    return found if width_of(found, worlds) == width_of(value, worlds) else None


def normalises(node: ir.Node, worlds: Worlds) -> str | None:
    """Whether a node divides scores by their length, and how to say so."""
    if node.op_type != "Div" or array_of(node.inputs[1]) is not None or not is_scores(node.inputs[0], worlds):
        return None
    for length in above(node.inputs[1], lambda one: one.op_type not in LENGTH_STEPS):
        if length.op_type in LENGTHS and width_of(length.outputs[0], worlds) == 1:
            return NO_SCORES[LENGTH_ONE]
    return None


def bound(logits: ir.Value, worlds: Worlds) -> str | None:
    """How an activation behind the last layer holds the scores back, as SqueezeNet's does; None where there is none."""
    node = logits.producer()
    while node is not None and node.op_type in PASSING | AVERAGES and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    if node is None or node.op_type not in BOUNDS:
        return None
    source = node.inputs[0]
    mended = "export the classifier without it"
    if source is not None and is_scores(source, worlds):
        mended = f"give --logits {source.name} to learn without it"
    where = f"{node.op_type} ({node.name}) is behind the last layer"
    return f"{where}: of the class scores {BOUNDS[node.op_type]}, and they learn worse than free ones; {mended}"


def is_above(upper: ir.Value, lower: ir.Value) -> bool:
    """Whether ``lower`` is computed from ``upper``."""
    return any(upper in node.inputs for node in above(lower))
