"""The one input becomes float32 of a fixed size, and so does what the graph computes with."""

import dataclasses

import onnx_ir as ir

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import Names, array_of, int_attribute, replace_uses
from sparcl_compile.passes.core.facts import LOSS
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.model_input import note_input
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.values import FLOAT
from sparcl_compile.passes.importing import floats, input_shapes, remarks
from sparcl_compile.passes.importing.original import remember

WHOLE = {
    ir.DataType.UINT8,
    ir.DataType.INT8,
    ir.DataType.UINT16,
    ir.DataType.INT16,
    ir.DataType.INT32,
    ir.DataType.INT64,
}
"""Types of whole numbers that an input may have."""
MOVING = {"Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Slice"}
"""Operators behind which a token is still that token."""


@dataclasses.dataclass(frozen=True)
class FixInput(Pass):
    """Make the model's one input a float32 tensor of a fixed size: what an artifact feeds.

    1. Lengths that the file leaves open, but for the batch, are fixed as ``input_shape`` says; without it they are
       refused, with an example that the model takes.
    2. A graph in float64, float16 or bfloat16 computes in float32, its input and weights too.
    3. An input of whole numbers becomes float32. Where the graph casts it to float32 at once that Cast goes; else a
       rounding and a Cast to the file's type stand behind the input, since float32 samples may be off in the last bit.
    4. Samples for an input of bytes, or of numbers that index a table or are computed with as whole numbers, are fed as
       they are: the model was made for these values. How many rows the table has is noted, for the check of the data.
    5. The model as it was given is kept, and ``import_forward`` compares with it.

    A model with several inputs is left alone: ``import_forward`` refuses it.

    Options:
        input_shape: the input's shape, lengths separated by commas and the batch first, as in ``N,3,224,224``.
    """

    phase = Phase.IMPORTING
    before = (LOSS,)

    input_shape: str | None = None

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Change the input in place; raises FieldError or ModelError where its lengths do not fit or stay open."""
        inputs = [value for value in model.graph.inputs if not value.is_initializer()]
        if len(inputs) != 1:
            return ir.passes.PassResult(model, self._refuse_several(len(inputs)))
        changed = input_shapes.fix(model, inputs[0], self.input_shape)
        kind = inputs[0].dtype
        if kind in floats.OTHERS or kind in WHOLE or floats.has_others(model):
            remember(model)
            self._to_floats(model, inputs[0])
            changed = True
        return ir.passes.PassResult(model, changed)

    def _refuse_several(self, count: int) -> bool:
        if self.input_shape is not None:
            raise FieldError(
                "input_shape", self.input_shape, f"is for one input, the model has {count}", "leave it out"
            )
        return False

    def _to_floats(self, model: ir.Model, value: ir.Value) -> None:
        kind = value.dtype
        widths = sorted(floats.to_float32(model))
        if widths:
            remarks.note(model, f"all that computes in {' and '.join(widths)} became float32")
        if kind in floats.OTHERS:
            _drop_casts(model.graph, value)
            note_input(model, type=floats.OTHERS[kind])
        elif kind in WHOLE and kind is not None:
            self._from_whole_numbers(model, value, kind)

    def _from_whole_numbers(self, model: ir.Model, value: ir.Value, kind: ir.DataType) -> None:
        """Steps 3 and 4."""
        rows, name = rows_of(value), kind.name.lower()
        plain = all(is_cast_to_float(usage.node) for usage in value.uses())
        value.type = FLOAT
        if plain:
            _drop_casts(model.graph, value)
        else:
            self._cast_back(model.graph, value, kind)
        raw = not plain or kind is ir.DataType.UINT8
        note_input(model, type=name, raw=raw, rows=rows)
        if raw:
            what = f"rows of a table of {rows}" if rows else name
            remarks.note(model, f"input {value.name} takes {what}: samples are fed as they are, not normalised")

    def _cast_back(self, graph: ir.Graph, value: ir.Value, kind: ir.DataType) -> None:
        first = next(iter(graph))
        insert = Inserter(self.name, graph, Names(graph)).before(first)
        uses = list(value.uses())
        rounded = insert.op("Round", value, name=f"{value.name}.rounded", like=value)
        whole = insert.op("Cast", rounded, name=f"{value.name}.whole", to=kind)
        whole.shape, whole.type = value.shape, ir.TensorType(kind)
        for usage in uses:
            usage.node.replace_input_with(usage.idx, whole)


def _drop_casts(graph: ir.Graph, value: ir.Value) -> None:
    """Let what reads an input as float32 read the input itself, which is float32 now."""
    for node in [usage.node for usage in value.uses() if is_cast_to_float(usage.node)]:
        replace_uses(graph, node.outputs[0], value)
        graph.remove(node, safe=True)


def is_cast_to_float(node: ir.Node) -> bool:
    """Whether a node makes float32 of its input, which is no output of the graph."""
    to_float = node.op_type == "Cast" and int_attribute(node, "to", 0) == int(ir.DataType.FLOAT)
    return to_float and not node.outputs[0].is_graph_output()


def rows_of(value: ir.Value) -> int | None:
    """The rows of the smallest table in which a value, or the same moved, is a place; None without one."""
    found, waiting = [], [value]
    while waiting:
        uses = [(usage.node, usage.idx) for usage in waiting.pop().uses()]
        found += [rows for node, slot in uses if (rows := _rows_of_table(node, slot)) is not None]
        waiting += [node.outputs[0] for node, slot in uses if node.op_type in MOVING and slot == 0]
    return min(found, default=None)


def _rows_of_table(node: ir.Node, slot: int) -> int | None:
    """The rows of the table in which an input of a node is a place; None for any other input."""
    table = array_of(node.inputs[0])
    if node.op_type != "Gather" or slot != 1 or table is None:
        return None
    return int(table.shape[int_attribute(node, "axis", 0)])
