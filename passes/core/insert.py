"""One way to insert nodes."""

from collections.abc import Sequence

import onnx_ir as ir

from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.values import FLOAT


class Inserter:
    """Inserts one-output nodes of a pass before an anchor, named after it, with type and shape stated."""

    def __init__(self, made_by: Pass, graph: ir.Graph, anchor: ir.Node) -> None:
        """Insert into ``graph`` before ``anchor``."""
        self._made_by, self._graph, self._anchor = made_by, graph, anchor

    def __call__(
        self,
        part: str,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        shape: Sequence[int | ir.SymbolicDim],
        domain: str = "",
        **attributes: Sequence[int] | int | str,
    ) -> ir.Value:
        """Insert a node and return its output, float32."""
        name = f"{self._anchor.name}.{part}"
        node = self._made_by.node(op_type, list(inputs), attributes=attributes or None, domain=domain, name=name)
        out = node.outputs[0]
        out.name, out.shape, out.type = name, ir.Shape(shape), FLOAT
        self._graph.insert_before(self._anchor, node)
        return out
