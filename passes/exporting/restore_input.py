"""The input in the type that the user's file had."""

import dataclasses

import onnx_ir as ir

from sparcl_compile.interface.ranges import check_choice
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import int_attribute, replace_uses
from sparcl_compile.passes.core.facts import CONSTANT, LOSS
from sparcl_compile.passes.core.phases import Phase

TYPES = {
    "float32": ir.DataType.FLOAT,
    "uint8": ir.DataType.UINT8,
    "int8": ir.DataType.INT8,
    "uint16": ir.DataType.UINT16,
    "int16": ir.DataType.INT16,
    "int32": ir.DataType.INT32,
    "int64": ir.DataType.INT64,
}


@dataclasses.dataclass(frozen=True)
class RestoreInput(Pass):
    """Give the input of a learned model the type of whole numbers that the user's file had: tokens, bytes.

    1. The rounding and the Cast that ``fix_input`` put behind the input go, where they lead to that type.
    2. What else reads the input reads it as float32, by a Cast.
    3. ``float32`` leaves the input alone. Other floats became float32 with the whole graph, and stay so.

    Options:
        type: the type of the input's elements.
    """

    phase = Phase.EXPORTING
    needs = (CONSTANT,)
    before = (LOSS,)

    type: str = "float32"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Change the input in place; raises FieldError for a type that no input is restored to."""
        check_choice("type", self.type, tuple(TYPES))
        kind, (x,) = TYPES[self.type], model.graph.inputs
        if kind is ir.DataType.FLOAT or x.dtype is kind:
            return ir.passes.PassResult(model, False)
        rounded = [usage.node for usage in x.uses() if usage.node.op_type == "Round"]
        others = [usage for usage in x.uses() if usage.node.op_type != "Round"]
        x.type = ir.TensorType(kind)
        for node in rounded:
            _read_whole(model.graph, node, x)
        if others:
            as_float = self.inserter(model.graph).before(next(iter(model.graph)))
            made = as_float.op("Cast", x, name="x.float", to=ir.DataType.FLOAT, shape=tuple(x.shape or ()))
            for usage in others:
                usage.node.replace_input_with(usage.idx, made)
        return ir.passes.PassResult(model, True)


def _read_whole(graph: ir.Graph, rounded: ir.Node, x: ir.Value) -> None:
    """Step 1: nothing else than a Cast reads what ``fix_input`` rounds."""
    casts = [usage.node for usage in rounded.outputs[0].uses()]
    for node in casts:
        if x.dtype is not None and int_attribute(node, "to", 0) == int(x.dtype):
            replace_uses(graph, node.outputs[0], x)
            graph.remove(node, safe=True)
    if not list(rounded.outputs[0].uses()):
        graph.remove(rounded, safe=True)
