"""BatchNormalization becomes part of the layer before it."""

import dataclasses

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.rules.common import (
    fuse_batchnorm_into_conv_rule,
    fuse_batchnorm_into_conv_transpose_rule,
    fuse_batchnorm_into_gemm_rule,
)

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import CONSTANT, LOSS
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import set_role

RULES = (
    fuse_batchnorm_into_conv_rule,
    fuse_batchnorm_into_conv_transpose_rule,
    fuse_batchnorm_into_gemm_rule,
)
NORMALISATION = "BatchNormalization"
MADE = ".weight_bias"
"""Suffix of the name of a bias that the rules make."""


@dataclasses.dataclass(frozen=True)
class FuseNormalisation(Pass):
    """Scale and shift a layer's weights instead of its results. For inference only: training needs the statistics.

    1. ``BatchNormalization(Conv(x))`` becomes ``Conv(x)`` with ``W * scale / std`` and
       ``(b - mean) * scale / std + shift``; ConvTranspose and Gemm likewise (onnxscript's rules).
    2. Not where the layer's result or its weight has another reader, and not where a tensor is no constant: there
       BatchNormalization stays, in its inference form.
    3. The layer keeps its node's name, its result that of the normalisation; a bias that it did not have is called
       ``NAME.bias`` beside ``NAME.weight`` where that name is free.
    """

    phase = Phase.EXPORTING
    needs = (CONSTANT,)
    before = (LOSS,)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fuse what can be fused."""
        names = _layer_names(model.graph)
        if not RewritePass(RULES)(model).modified:
            return ir.passes.PassResult(model, False)
        RemoveUnusedNodesPass()(model)
        fused = [node for node in model.graph if str(node.outputs[0].name) in names and node.op_type != NORMALISATION]
        for node in fused:
            node.name = names[str(node.outputs[0].name)]
        inputs = (value for node in fused for value in node.inputs[1:] if value is not None)
        for value in [value for value in inputs if value.is_initializer()]:
            set_role(value, Role.PARAMETER)
            _shorten(model.graph, value)
        return ir.passes.PassResult(model, True)


def _layer_names(graph: ir.Graph) -> dict[str, str]:
    """By name of a normalisation's output the name of the node that it may be fused into."""
    nodes = [node for node in graph if node.op_type == NORMALISATION]
    makers = [(node, node.inputs[0].producer()) for node in nodes if node.inputs[0] is not None]
    return {str(node.outputs[0].name): maker.name or "" for node, maker in makers if maker is not None}


def _shorten(graph: ir.Graph, value: ir.Value) -> None:
    name = str(value.name)
    short = f"{name.removesuffix(MADE)}.bias"
    if name.endswith(MADE) and short not in graph.initializers:
        value.name = short
