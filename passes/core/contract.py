"""What every pass shares: the pass class, roles of state values, provenance of inserted nodes."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import onnx_ir as ir

from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.values import FLOAT

OPSET = 18
IR_VERSION = 10


@dataclasses.dataclass(frozen=True)
class Pass(ir.passes.InPlacePass):
    """A pass over a model, with its options as frozen fields.

    Subclasses implement ``call(model) -> ir.passes.PassResult``, change the model in place, report
    ``modified`` honestly and do nothing on a second run.

    Attributes:
        name: the pass's name in snake case: the same as its file's.
        phase: when it runs: the same as its folder's.
    """

    name: ClassVar[str]
    phase: ClassVar[Phase]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def __str__(self) -> str:
        return self.name

    def node(self, op_type: str, inputs: list[ir.Value | None], **kwargs: object) -> ir.Node:
        """Make a node (arguments as ``ir.node``) that carries this pass's name as its origin."""
        node = ir.node(op_type, inputs, **kwargs)  # type: ignore[arg-type]
        return self.tag(node)

    def append(
        self,
        graph: ir.Graph,
        op_type: str,
        inputs: list[ir.Value | None],
        name: str,
        shape: Sequence[int | str],
        dtype: ir.TensorType = FLOAT,
        **attributes: int | str,
    ) -> ir.Value:
        """Append a one-output node named like its output value, with its type and shape stated; return the output."""
        node = self.node(op_type, inputs, attributes=attributes or None, name=name)
        out = node.outputs[0]
        out.name, out.shape, out.type = name, ir.Shape(shape), dtype
        graph.append(node)
        return out

    def tag(self, node: ir.Node) -> ir.Node:
        """Mark a node as made by this pass."""
        node.metadata_props[PASS_KEY] = self.name
        return node
