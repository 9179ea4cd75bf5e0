"""Knowledge of the batch while a graph is followed; the repairs of ``batch_repairs`` read and extend it."""

import onnx_ir as ir

from sparcl_compile.passes.core.edit import Names
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.worlds import Worlds
from sparcl_compile.passes.importing.batch_place import ALONE, Carrier
from sparcl_compile.passes.importing.naming import ORIGIN


class Trace:
    """The facts about a graph at two batch sizes, as far as it has been followed.

    Attributes:
        batch: the batch size the graph was exported at.
        worlds: shapes and constants at that size and at a larger one.
        carriers: how the batch sits in the one dimension that depends on it.
        hidden: values that have the batch as an additional first axis: the file lets them have none, since it is 1.
        changed: whether the graph has been changed.
    """

    def __init__(self, graph: ir.Graph, batch: int) -> None:
        """Nothing but the inputs and the initializers is known."""
        self.graph, self.batch = graph, batch
        self.names = Names(graph)
        self.worlds = Worlds.of(graph, batch)
        self.carriers: dict[ir.Value, Carrier] = {value: ALONE for value in graph.inputs}
        self.hidden: set[ir.Value | None] = set()
        self.changed = False

    def at(self, node: ir.Node) -> Inserter:
        """Insert before a node; the graph counts as changed."""
        self.changed = True
        return Inserter(ORIGIN, self.graph, self.names).before(node)

    def small(self, value: ir.Value | None) -> tuple[int, ...]:
        """The shape at the batch size of the file; empty when it is unknown."""
        return self.worlds.small.shape(value) or ()

    def stated(self, value: ir.Value | None) -> tuple[int, ...]:
        """The shape that the file means, without a hidden batch."""
        shape = self.small(value)
        return shape[1:] if value in self.hidden else shape

    def axis(self, value: ir.Value | None) -> int | None:
        """The one axis that depends on the batch, or None."""
        axes = self.worlds.batch_axes(value)
        return axes[0] if len(axes) == 1 else None

    def visited(self, *values: ir.Value) -> ir.Value:
        """Work out values that were inserted; the last of them."""
        for value in values:
            producer = value.producer()
            if producer is not None and self.worlds.small.shape(value) is None:
                self.worlds.visit(producer)
        return values[-1]

    def pass_on(self, node: ir.Node, value: ir.Value | None, *, hidden: bool = False) -> None:
        """Let a node give what it is given."""
        node.op_type, self.changed = "Identity", True
        node.attributes.clear()
        node.resize_inputs(1)
        node.replace_input_with(0, value)
        if hidden:
            self.hidden.add(node.outputs[0])

    def lengths_with_batch(
        self, node: ir.Node, like: ir.Value | None, axis: int, before: list[int], after: list[int]
    ) -> ir.Value:
        """The vector [before, the batch of ``like`` along ``axis``, after], computed before a node."""
        insert = self.at(node)
        length = insert.op("Shape", like, start=axis, end=axis + 1)
        parts = [insert.ints("before", before), length, insert.ints("after", after)]
        return self.visited(length, insert.op("Concat", *parts, axis=0))
