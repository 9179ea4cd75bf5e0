"""The operators that ONNX Runtime's own optimiser writes become the few standard ones that they stand for."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import (
    Attributes,
    Names,
    float_attribute,
    int_attribute,
    is_read,
    kept_attributes,
    string_attribute,
)
from sparcl_compile.passes.core.facts import LOSS
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.importing import versions
from sparcl_compile.passes.importing.constants import brought
from sparcl_compile.passes.importing.original import RUNTIME, remember

Expansion = Callable[[Inserter, ir.Node], tuple[ir.Value, ...] | None]
"""Builds the results of a node before it; None where it has a form that cannot be said in standard operators."""
EPSILON = 1e-12
"""ONNX Runtime's default in its own normalisations; the standard one's is 1e-5."""
CONV = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
GEMM = ("alpha", "beta", "transA", "transB")


def exact_gelu(e: Inserter, x: ir.Value | None) -> ir.Value:
    """The half of x, times 1 + erf(x / sqrt(2))."""
    inner = e.op("Erf", e.op("Mul", x, e.const("scale", np.sqrt(0.5))))
    return e.op("Mul", e.op("Mul", x, e.const("half", 0.5)), e.op("Add", inner, e.const("one", 1.0)))


def gelu(e: Inserter, node: ir.Node) -> tuple[ir.Value]:
    """Gelu."""
    return (exact_gelu(e, node.inputs[0]),)


def bias_gelu(e: Inserter, node: ir.Node) -> tuple[ir.Value]:
    """BiasGelu."""
    return (exact_gelu(e, e.op("Add", *node.inputs)),)


def fast_gelu(e: Inserter, node: ir.Node) -> tuple[ir.Value]:
    """FastGelu: by tanh, with an optional bias."""
    x = node.inputs[0] if optional(node, 1) is None else e.op("Add", *node.inputs)
    cube = e.op("Mul", e.op("Mul", e.op("Mul", x, x), x), e.const("cubic", 0.044715))
    inner = e.op("Tanh", e.op("Mul", e.op("Add", x, cube), e.const("scale", np.sqrt(2.0 / np.pi))))
    return (e.op("Mul", e.op("Mul", x, e.const("half", 0.5)), e.op("Add", inner, e.const("one", 1.0))),)


def quick_gelu(e: Inserter, node: ir.Node) -> tuple[ir.Value]:
    """QuickGelu: x * sigmoid(alpha * x)."""
    x = node.inputs[0]
    scaled = e.op("Mul", x, e.const("alpha", float_attribute(node, "alpha", 1.702)))
    return (e.op("Mul", x, e.op("Sigmoid", scaled)),)


def fused_matmul(e: Inserter, node: ir.Node) -> tuple[ir.Value] | None:
    """FusedMatMul: alpha * A B, each transposed in its last two axes if asked for; not in its first ones."""
    if any(int_attribute(node, f"transBatch{side}", 0) for side in "AB"):
        return None
    sides = [turned(e, node, index, f"trans{side}") for index, side in enumerate("AB")]
    if None in sides:
        return None
    product, alpha = e.op("MatMul", *sides), float_attribute(node, "alpha", 1.0)
    return (product if alpha == 1.0 else e.op("Mul", product, e.const("alpha", alpha)),)


def turned(e: Inserter, node: ir.Node, index: int, flag: str) -> ir.Value | None:
    """An operand of a product, transposed where the attribute says so; None where its rank is not known."""
    value = node.inputs[index]
    if value is None or not int_attribute(node, flag, 0):
        return value
    if value.shape is None:
        return None
    rank = len(value.shape)
    if rank < 2:
        return value
    return e.op("Transpose", value, perm=[*range(rank - 2), rank - 1, rank - 2])


def fused_gemm(e: Inserter, node: ir.Node) -> tuple[ir.Value] | None:
    """FusedGemm: Gemm, then an activation."""
    given = [float_attribute(node, f"activation_{name}", 0.0) for name in ("alpha", "beta")]
    return activated(e, node, e.op("Gemm", *node.inputs, **some_attributes(node, GEMM)), given)


def fused_conv(e: Inserter, node: ir.Node) -> tuple[ir.Value] | None:
    """FusedConv: Conv, the sum with a fourth input, then an activation."""
    total, branch = e.op("Conv", *node.inputs[:3], **some_attributes(node, CONV)), optional(node, 3)
    total = total if branch is None else e.op("Add", total, branch)
    found = node.attributes.get("activation_params")
    return activated(e, node, total, [] if found is None else list(found.as_floats()))


def activated(e: Inserter, node: ir.Node, x: ir.Value, numbers: list[float]) -> tuple[ir.Value] | None:
    """The activation that a fused node names, with its numbers; none where it names none."""
    name = string_attribute(node, "activation", "")
    if name in ("", "Relu", "Sigmoid", "Tanh"):
        return (e.op(name, x) if name else x,)
    if name == "LeakyRelu" and numbers:
        return (e.op("LeakyRelu", x, alpha=numbers[0]),)
    if name == "HardSigmoid" and len(numbers) > 1:
        return (e.op("HardSigmoid", x, alpha=numbers[0], beta=numbers[1]),)
    if name == "Clip" and len(numbers) > 1:
        return (e.op("Min", e.op("Max", x, e.const("low", numbers[0])), e.const("high", numbers[1])),)
    return None


def layer_norm(e: Inserter, node: ir.Node) -> tuple[ir.Value] | None:
    """LayerNormalization of opsets that have none; an axis from the front needs the rank."""
    axis, epsilon = int_attribute(node, "axis", -1), float_attribute(node, "epsilon", 1e-5)
    x = node.inputs[0]
    if axis >= 0 and (x is None or x.shape is None):
        return None
    axis -= len(x.shape) if axis >= 0 else 0  # type: ignore[union-attr, arg-type]
    return (versions.layer_norm(e, node.inputs[0], node.inputs[1], optional(node, 2), axis, epsilon),)


def simplified_norm(e: Inserter, node: ir.Node) -> tuple[ir.Value] | None:
    """SimplifiedLayerNormalization: by the root of the mean square, over the last axis."""
    if int_attribute(node, "axis", -1) != -1:
        return None
    return (by_root_mean_square(e, node.inputs[0], node.inputs[1], float_attribute(node, "epsilon", 1e-5)),)


def by_root_mean_square(e: Inserter, x: ir.Value | None, scale: ir.Value | None, epsilon: float) -> ir.Value:
    """X / sqrt(mean(x * x) + epsilon) * scale over the last axis."""
    square = versions.reduce(e, "ReduceMean", e.op("Mul", x, x), -1)
    return e.op("Mul", e.op("Div", x, e.op("Sqrt", e.op("Add", square, e.const("epsilon", epsilon)))), scale)


def skip_layer_norm(e: Inserter, node: ir.Node) -> tuple[ir.Value, ...]:
    """SkipLayerNormalization: of input + skip + bias, which is the fourth result."""
    total = summed(e, node.inputs[0], node.inputs[1], optional(node, 4))
    epsilon = float_attribute(node, "epsilon", EPSILON)
    return versions.layer_norm(e, total, node.inputs[2], optional(node, 3), -1, epsilon), total, total, total


def skip_simplified_norm(e: Inserter, node: ir.Node) -> tuple[ir.Value, ...]:
    """SkipSimplifiedLayerNormalization: as SkipLayerNormalization, by the root of the mean square."""
    total = summed(e, node.inputs[0], node.inputs[1], optional(node, 3))
    epsilon = float_attribute(node, "epsilon", EPSILON)
    return by_root_mean_square(e, total, node.inputs[2], epsilon), total, total, total


def embed_layer_norm(e: Inserter, node: ir.Node) -> tuple[ir.Value, ...] | None:
    """EmbedLayerNormalization: of the rows of words, positions and segments; the third result is their sum.

    ONNX Runtime 1.19.2 ends the process on a node without the second result, so none is taken.
    """
    if len(node.outputs) < 2:
        return None
    ids, segments, words, positions = node.inputs[:4]
    numbers = optional(node, 8)
    length = None if ids is None or ids.shape is None or len(ids.shape) != 2 else ids.shape[1]
    if numbers is None and not isinstance(length, int):
        return None
    places = numbers if numbers is not None else e.ints("positions", range(int(length)))  # type: ignore[arg-type]
    segment = None if segments is None else e.op("Gather", optional(node, 4), segments)
    total = summed(e, e.op("Gather", words, ids), e.op("Gather", positions, places), segment)
    epsilon = float_attribute(node, "epsilon", EPSILON)
    return versions.layer_norm(e, total, node.inputs[5], optional(node, 6), -1, epsilon), total, total


def summed(e: Inserter, first: ir.Value | None, second: ir.Value | None, third: ir.Value | None) -> ir.Value:
    """The sum of two or three values."""
    total = e.op("Add", first, second)
    return total if third is None else e.op("Add", total, third)


def optional(node: ir.Node, index: int) -> ir.Value | None:
    """An input that may be left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def some_attributes(node: ir.Node, names: tuple[str, ...]) -> Attributes:
    """Return the attributes of a node that the standard operator has as well."""
    return {name: one for name, one in kept_attributes(node).items() if name in names}


EXPANSIONS: Mapping[str, tuple[Expansion, tuple[int, ...]]] = {
    "Gelu": (gelu, (0,)),
    "BiasGelu": (bias_gelu, (0,)),
    "FastGelu": (fast_gelu, (0,)),
    "QuickGelu": (quick_gelu, (0,)),
    "FusedMatMul": (fused_matmul, (0,)),
    "TransposeMatMul": (fused_matmul, (0,)),
    "FusedGemm": (fused_gemm, (0,)),
    "FusedConv": (fused_conv, (0,)),
    "LayerNormalization": (layer_norm, (0,)),
    "SimplifiedLayerNormalization": (simplified_norm, (0,)),
    "SkipLayerNormalization": (skip_layer_norm, (0, 3)),
    "SkipSimplifiedLayerNormalization": (skip_simplified_norm, (0, 3)),
    "EmbedLayerNormalization": (embed_layer_norm, (0, 2)),
}
"""By operator its expansion and the results that it gives rightly: others must not be read."""


@dataclasses.dataclass(frozen=True)
class ExpandRuntimeOperators(Pass):
    """Say the operators of ONNX Runtime's own domain in standard ones, so that all that follows sees one operator set.

    1. A node of ``com.microsoft`` that the table ``EXPANSIONS`` has becomes the standard nodes that it stands for, in
       the model's own opset: these differentiate, and masks, costs and exports know them.
    2. A node in a form that standard nodes do not say (batch axes transposed, results for a backward pass) stays, and
       so does any other: ``import_forward`` refuses it by name, unless the class scores do not need it.
    3. A product's operand is transposed by its rank, for which shapes are inferred.
    4. The model as it was given is kept, and ``import_forward`` compares with it.
    """

    phase = Phase.IMPORTING
    before = (LOSS,)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Expand the model's nodes in place."""
        nodes = [node for node in model.graph if node.domain == RUNTIME and is_expandable(node)]
        if nodes:
            remember(model)
        names, found = Names(model.graph), len(nodes)
        nodes = self._expand_all(model, nodes, names)
        while nodes:
            ShapeInferencePass()(model)
            left = self._expand_all(model, nodes, names)
            if len(left) == len(nodes):
                break
            nodes = left
        return ir.passes.PassResult(model, len(nodes) < found)

    def _expand_all(self, model: ir.Model, nodes: list[ir.Node], names: Names) -> list[ir.Node]:
        """Expand nodes; returns those that stay."""
        return [node for node in nodes if not self._expand(model.graph, node, names)]

    def _expand(self, graph: ir.Graph, node: ir.Node, names: Names) -> bool:
        insert = Inserter(self.name, graph, names).before(node)
        with brought(graph):
            made = EXPANSIONS[node.op_type][0](insert, node)
        if made is None:
            return False
        insert.replace(*made)
        return True


def is_expandable(node: ir.Node) -> bool:
    """Whether the table has the operator, and gives all results that are read."""
    if node.op_type not in EXPANSIONS:
        return False
    given = EXPANSIONS[node.op_type][1]
    return not any(is_read(out) for index, out in enumerate(node.outputs) if index not in given)
