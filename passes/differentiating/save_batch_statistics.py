"""The batch's own mean and variance as results of BatchNormalization."""

import dataclasses

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import float_attribute, int_attribute
from sparcl_compile.passes.core.facts import DIFFERENTIATED, HELD
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.values import constant

MOMENTUM = 0.9
"""ONNX's default."""


@dataclasses.dataclass(frozen=True)
class SaveBatchStatistics(Pass):
    """Let BatchNormalization in training form give the statistics of the batch, which its gradient reads.

    1. With a momentum of 0 the two running statistics that the operator returns are the batch's own mean and variance:
       one kernel gives all that the gradient needs. The next running statistics are ``old * momentum + own * (1 -
       momentum)`` behind it, as the operator itself would have computed them.
    2. ONNX Runtime writes the returned statistics over its inputs, whatever else reads those: it gets ``Sub(mean,
       mean)``, zeros in memory of their own, which a momentum of 0 keeps out of the result.
    3. A node whose momentum is 0 already is left alone.
    """

    phase = Phase.DIFFERENTIATING
    needs = (HELD,)
    before = (DIFFERENTIATED,)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Change every BatchNormalization in training form."""
        nodes = [node for node in model.graph if _is_open(node)]
        for node in nodes:
            self._save(model.graph, node)
        return ir.passes.PassResult(model, bool(nodes))

    def _save(self, graph: ir.Graph, node: ir.Node) -> None:
        momentum = float_attribute(node, "momentum", MOMENTUM)
        node.attributes["momentum"] = ir.AttrFloat32("momentum", 0.0)
        for slot, part in ((3, "mean"), (4, "variance")):
            self._open(graph, node, slot, part, momentum)

    def _open(self, graph: ir.Graph, node: ir.Node, slot: int, part: str, momentum: float) -> None:
        running, returned = node.inputs[slot], node.outputs[slot - 2]
        if running is None:
            raise ValueError(f"BatchNormalization {node.name} lacks its running {part}")
        name = f"{node.name}.batch_{part}"
        insert = self.inserter(graph).before(node)
        node.replace_input_with(slot, insert.op("Sub", running, running, name=f"{name}.none", like=running))
        following, returned.name = str(returned.name), name
        behind = self.inserter(graph).behind(node)
        old = behind.op("Mul", running, _number(behind, momentum), name=f"{name}.old", like=running)
        own = behind.op(
            "Mul", returned, _number(behind, float(1.0 - np.float32(momentum))), name=f"{name}.own", like=running
        )
        new = behind.op("Add", old, own, name=following, like=running)
        graph.outputs[:] = [new if value is returned else value for value in graph.outputs]


def _number(insert: Inserter, value: float) -> ir.Value:
    name = f"statistics.number_{np.float32(value)}"
    return constant(insert.graph, name, np.array(value, np.float32))


def _is_open(node: ir.Node) -> bool:
    trains = node.op_type == "BatchNormalization" and int_attribute(node, "training_mode", 0) == 1
    return trains and len(node.outputs) == 3 and float_attribute(node, "momentum", MOMENTUM) != 0.0
