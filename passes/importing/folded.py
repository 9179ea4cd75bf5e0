"""Convolutions whose BatchNormalization an exporter has folded away, so that they learn without any."""

import re

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.analysis.heads import has_weight
from sparcl_compile.passes.core.edit import array_of, int_attribute
from sparcl_compile.passes.importing.constants import SIGNATURE, TF2ONNX

NORMALISING = {
    "BatchNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "GroupNormalization",
    "MeanVarianceNormalization",
    "LpNormalization",
    "LRN",
    "Sqrt",
}
"""Operators of normalisations; Sqrt is in all that are written in simpler operators."""
FEW = 3
"""Networks with fewer convolutions learn as well without a normalisation, and most of them have none."""
BIASES = re.compile(r"onnx::Conv_\d+|weight_bias$|(^|[/._])bn\d*([/._]|$)", re.IGNORECASE)
"""Names of biases that exporters give when they fold: PyTorch's two, and those of a normalisation itself."""
CONSTANTS = re.compile(r"batch_?norm|_fused_bn", re.IGNORECASE)
"""Names of constants that are left of a BatchNormalization: TensorFlow's and tf2onnx's, factors of their own too."""
STATISTICS = re.compile(r"'([^']*running_var)'")
"""Running statistics in the list of PyTorch's newer exporter."""
EXPORT = (
    "to keep it, export from PyTorch with torch.onnx.export(..., training=TrainingMode.PRESERVE, "
    "do_constant_folding=False, dynamo=False); TensorFlow folds it in every export, but leaves LayerNormalization alone"
)


def remarks(model: ir.Model) -> list[str]:
    """The line about a convolutional network that has lost its normalisation, or may have; none for any other.

    A file does not say what an exporter has removed, and networks that were made without a normalisation (AlexNet, VGG,
    SqueezeNet, GoogLeNet) are not to be spoken of. Evidence is a name that exporters give when they fold, and running
    statistics among what PyTorch's newer exporter was given, which it lists. It leaves such a trace of every one, and
    tf2onnx of all that were trained. In other files a doubt, and said as one, is no bias at all, as convolutions before
    a normalisation are made, unless no other layer has one either; or a structure that is hardly ever trained without a
    normalisation, shortcuts or depthwise convolutions, where all biases have been moved.
    """
    graph = model.graph
    convolutions = [node for node in graph if node.op_type == "Conv"]
    if len(convolutions) < FEW or any(node.op_type in NORMALISING for node in graph):
        return []
    biases = [bias_of(node) for node in convolutions]
    behind = [bias_of(node) for node in graph if node.op_type in ("Gemm", "MatMul") and has_weight(node)]
    bare = all(bias is None for bias in biases) and (not behind or any(bias is not None for bias in behind))
    listed = graph.metadata_props.get(SIGNATURE)
    named = [str(bias.name) for bias in biases if bias is not None and BIASES.search(str(bias.name))]
    named += [name for name in graph.initializers if CONSTANTS.search(name)]
    named += STATISTICS.findall(listed or "")
    deep = any(is_residual(node) or is_depthwise(node) for node in graph) and all(is_moved(bias) for bias in biases)
    none = f"none of the {len(convolutions)} convolutions is normalised"
    if named:
        return [
            f"{none}: by the name of {named[0]} the exporter has folded BatchNormalization into them, and they learn "
            f"worse without; {EXPORT}"
        ]
    if listed or model.producer_name == TF2ONNX or not (bare or deep):
        return []
    sign = "whose convolutions have no bias" if bare else "with shortcuts or depthwise convolutions"
    return [
        f"{none}, which is rare in a network {sign}: if the model has BatchNormalization, the exporter has folded it "
        f"into them, and they learn worse without; {EXPORT}; a model that never had any loses nothing"
    ]


def bias_of(node: ir.Node) -> ir.Value | None:
    """The bias of a convolution: its own, or that of the addition behind it."""
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        return node.inputs[2]
    adds = [usage.node for usage in node.outputs[0].uses() if usage.node.op_type == "Add"]
    constants = [value for add in adds for value in add.inputs if value is not None and value.is_initializer()]
    return constants[0] if constants else None


def is_moved(bias: ir.Value | None) -> bool:
    """Whether a bias is a constant with some number other than 0."""
    data = array_of(bias)
    return data is not None and bool(np.any(data != 0))


def is_residual(node: ir.Node) -> bool:
    """Whether a node adds two activations with channels."""
    rank = len(node.outputs[0].shape or ())
    return node.op_type == "Add" and rank > 2 and not any(v is None or v.is_initializer() for v in node.inputs)


def is_depthwise(node: ir.Node) -> bool:
    """Whether a node is a convolution of every channel by itself."""
    group = int_attribute(node, "group", 1)
    shape = node.inputs[1].shape if node.op_type == "Conv" and node.inputs[1] is not None else None
    return group > 1 and shape is not None and shape[1] == 1
