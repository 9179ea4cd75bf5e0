"""What every pass shares: the pass class, roles of state values, provenance of inserted nodes."""

import dataclasses
import re
from collections.abc import Sequence

import onnx_ir as ir

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.values import FLOAT

OPSET = 18
IR_VERSION = 10


@dataclasses.dataclass(frozen=True)
class Pass(ir.passes.InPlacePass):
    """A pass over a model, with its options as frozen fields.

    Subclasses implement ``call(model) -> ir.passes.PassResult``, change the model in place, report
    ``modified`` honestly and do nothing on a second run.
    """

    @property
    def name(self) -> str:
        """The pass's name in snake case: the same as its file's."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    def __str__(self) -> str:
        return self.name

    def __call__(self, model_or_result: ir.Model | ir.passes.PassResult, /) -> ir.passes.PassResult:
        """Run the pass; a complaint about a field gets the pass's name."""
        try:
            return super().__call__(model_or_result)
        except FieldError as error:
            error.made_by = self.name
            raise

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
