"""BatchNormalization with fixed statistics becomes a product and a sum with constants."""

import dataclasses

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import array_of, float_attribute, int_attribute
from sparcl_compile.passes.core.facts import HELD, LOSS
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.values import constant

EPSILON = 1e-5
"""ONNX's default."""


@dataclasses.dataclass(frozen=True)
class FoldFixedNorms(Pass):
    """Write BatchNormalization in inference form as ``x * a + b`` in the graph that is differentiated.

    1. ``a = scale / sqrt(variance + epsilon)`` and ``b = shift - mean * a``, of shape [C, 1, ...], computed in double:
       all four are frozen (``freeze_parameters``, rule 4), so they are constants.
    2. It is necessary: ONNX Runtime's gradient builder turns every BatchNormalization into training form, whatever its
       attribute says, and would differentiate through batch statistics.
    3. It costs nothing: where the convolution before it is frozen as well, ONNX Runtime folds both into its weights.
    4. The forward graph that ``emit`` takes the evaluation graph from keeps BatchNormalization and its four tensors.
    """

    phase = Phase.LOWERING
    needs = (HELD,)
    before = (LOSS,)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Replace the nodes; their constants go with them when nothing else reads them."""
        nodes = [
            n for n in model.graph if n.op_type == "BatchNormalization" and not int_attribute(n, "training_mode", 0)
        ]
        for node in nodes:
            self._fold(model.graph, node)
        return ir.passes.PassResult(model, bool(nodes))

    def _fold(self, graph: ir.Graph, node: ir.Node) -> None:
        parts = [array_of(value) for value in node.inputs[1:5]]
        if any(part is None for part in parts):
            raise ValueError(f"BatchNormalization {node.name}: fixed statistics must be constants")
        scale, shift, mean, variance = (np.asarray(part, np.float64) for part in parts)
        slope = scale / np.sqrt(variance + float_attribute(node, "epsilon", EPSILON))
        out, x = node.outputs[0], node.inputs[0]
        factor = self._vector(graph, f"{node.name}.factor", slope, out)
        offset = self._vector(graph, f"{node.name}.offset", shift - mean * slope, out)
        insert, scaled = self.inserter(graph).before(node), f"{out.name}.scaled"
        product = insert.op("Mul", x, factor, name=scaled, like=out, node_name=f"{node.name}.scale")
        unused = [value for value in node.inputs[1:5] if value is not None and len(list(value.uses())) == 1]
        insert.replace(*insert.node("Add", product, offset, name=f"{node.name}.shift").outputs)
        for value in unused:
            graph.initializers.pop(str(value.name))

    def _vector(self, graph: ir.Graph, name: str, data: np.ndarray, like: ir.Value) -> ir.Value:
        axes = len(like.shape or ()) - 2
        return constant(graph, name, data.reshape(-1, *[1] * axes).astype(np.float32))
