"""The operators of ai.onnx.ml that scikit-learn's converter writes around a network become standard ones."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import Names, is_read, replace_uses, string_attribute
from sparcl_compile.passes.core.facts import LOSS
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.model_input import note_input
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.values import FLOAT
from sparcl_compile.passes.importing import versions
from sparcl_compile.passes.importing.original import remember

ML = "ai.onnx.ml"
Expansion = Callable[[Inserter, ir.Node], ir.Value | None]
"""Builds the float result of a node before it; None where it has a form that cannot be said in standard operators."""


def floats(node: ir.Node, name: str) -> np.ndarray:
    """An attribute of several floats; empty without it."""
    found = node.attributes.get(name)
    return np.asarray([] if found is None else found.as_floats(), np.float32)


def as_float(e: Inserter, x: ir.Value | None) -> ir.Value | None:
    """A value as float32; these operators take numbers of any type."""
    known = None if x is None else x.dtype
    return x if known is ir.DataType.FLOAT else e.op("Cast", x, to=ir.DataType.FLOAT)


def scaler(e: Inserter, node: ir.Node) -> ir.Value:
    """Scaler: (x - offset) * scale."""
    x = as_float(e, node.inputs[0])
    offset, scale = (floats(node, name) for name in ("offset", "scale"))
    shifted = e.op("Sub", x, e.const("offset", offset)) if offset.size else x
    return e.op("Mul", shifted, e.const("scale", scale if scale.size else 1.0))


def normalizer(e: Inserter, node: ir.Node) -> ir.Value | None:
    """Normalizer: rows divided by their largest number, or by their L1 or L2 length; a row of zeros stays one."""
    x, norm = as_float(e, node.inputs[0]), string_attribute(node, "norm", "MAX")
    if norm == "MAX":
        largest = versions.reduce(e, "ReduceMax", x, -1)
        is_zero = e.op("Cast", e.op("Equal", largest, e.const("zero", 0.0)), to=ir.DataType.FLOAT)
        return e.op("Div", x, e.op("Add", largest, is_zero))
    return e.op("LpNormalization", x, axis=-1, p=int(norm[1:])) if norm in ("L1", "L2") else None


def linear_classifier(e: Inserter, node: ir.Node) -> ir.Value | None:
    """The scores of LinearClassifier: x W^T + b, then its activation.

    Two classes may have one row of numbers, for the second class: the first one gets the rest to 1. Two opposite rows
    below a Sigmoid are the same.
    """
    found, transform = coefficients(node), string_attribute(node, "post_transform", "NONE")
    if found is None or transform not in ("NONE", "SOFTMAX", "LOGISTIC"):
        return None
    weight, bias, labels = found
    if len(weight) == 2 and transform == "LOGISTIC" and opposite(weight) and opposite(bias):
        weight, bias = weight[1:], bias[1:]
    single = len(weight) == 1
    if single and (labels != 2 or transform == "SOFTMAX"):
        return None
    product = e.op("MatMul", as_float(e, node.inputs[0]), e.const("weight", weight.T))
    scores = e.op("Add", product, e.const("bias", bias))
    if transform == "SOFTMAX":
        return e.op("Softmax", scores, axis=1)
    scores = e.op("Sigmoid", scores) if transform == "LOGISTIC" else scores
    return e.op("Concat", e.op("Sub", e.const("one", [1.0]), scores), scores, axis=1) if single else scores


def coefficients(node: ir.Node) -> tuple[np.ndarray, np.ndarray, int] | None:
    """Weight [rows, features], bias [rows] and how many labels a LinearClassifier has; None where they do not fit."""
    flat, bias = floats(node, "coefficients"), floats(node, "intercepts")
    kinds = [node.attributes.get(f"classlabels_{kind}") for kind in ("ints", "strings")]
    labels = max(0 if found is None else len(found.value) for found in kinds)
    rows = len(bias) or labels
    if not rows or not len(flat) or len(flat) % rows:
        return None
    return flat.reshape(rows, -1), bias if bias.size else np.zeros(rows, np.float32), labels


def opposite(rows: np.ndarray) -> bool:
    """Whether the second row is the first one with its sign turned."""
    return bool(np.all(rows[0] == -rows[1]))


EXPANSIONS: Mapping[str, tuple[Expansion, int]] = {
    "Scaler": (scaler, 0),
    "Normalizer": (normalizer, 0),
    "LinearClassifier": (linear_classifier, 1),
}
"""By operator its expansion, and the result that it builds."""


@dataclasses.dataclass(frozen=True)
class ExpandMlOperators(Pass):
    """Say Scaler, Normalizer and LinearClassifier in standard operators, so that their layers train.

    1. Scaler is a difference and a product, Normalizer a division by a length, LinearClassifier a MatMul, an Add and
       its activation: a Softmax or Sigmoid, which ``import_forward`` leaves out as it does behind any network.
    2. The label that LinearClassifier gives besides, a number or a text, stays with it: class scores do not need it,
       and ``import_forward`` cuts it off.
    3. Any other operator of ``ai.onnx.ml`` (trees, kernels, neighbours) has no layers. It stays, and ``import_forward``
       refuses it by name, unless the class scores do not need it.
    4. A model that begins with a Scaler normalises its samples itself: they are fed as they are.
    5. The model as it was given is kept, and ``import_forward`` compares with it.
    """

    phase = Phase.IMPORTING
    before = (LOSS,)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Expand the model's nodes in place."""
        nodes = [node for node in model.graph if node.domain == ML and is_expandable(node)]
        if nodes:
            remember(model)
        if any(node.op_type == "Scaler" and is_input(node.inputs[0]) for node in nodes):
            note_input(model, raw=True)
        names = Names(model.graph)
        done = [self._expand(model.graph, node, names) for node in nodes]
        return ir.passes.PassResult(model, any(done))

    def _expand(self, graph: ir.Graph, node: ir.Node, names: Names) -> bool:
        expansion, index = EXPANSIONS[node.op_type]
        insert = Inserter(self.name, graph, names).before(node)
        made = expansion(insert, node)
        if made is None:
            return False
        old = node.outputs[index]
        name, others = str(old.name), [out for out in node.outputs if out is not old and is_read(out)]
        made.shape, made.type = old.shape, FLOAT
        replace_uses(graph, old, made)
        old.name = names.fresh(f"{name}.unread")
        made.name = name
        if not others:
            graph.remove(node, safe=True)
        return True


def is_input(value: ir.Value | None) -> bool:
    """Whether a value is the model's input, or that in another type."""
    node = None if value is None else value.producer()
    if node is not None and node.op_type in ("Cast", "Round"):
        return is_input(node.inputs[0])
    return value is not None and value.is_graph_input()


def is_expandable(node: ir.Node) -> bool:
    """Whether the table has the operator, and its result is read."""
    return node.op_type in EXPANSIONS and is_read(node.outputs[EXPANSIONS[node.op_type][1]])
