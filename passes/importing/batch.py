"""The batch becomes symbolic, and everything that depends on no input becomes an initializer."""

import math

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.core.edit import adopt, is_float_constant, replace_uses
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.core.worlds import World, Worlds
from sparcl_compile.passes.importing import branches
from sparcl_compile.passes.importing.batch_place import Carrier, allows_zero, batch_place, resolved
from sparcl_compile.passes.importing.batch_repairs import REPAIRS, squeezes_all
from sparcl_compile.passes.importing.batch_trace import Trace
from sparcl_compile.passes.importing.constants import FIXED, IN_NODE, SOURCE, is_fixed, may_be_weight, said_of
from sparcl_compile.passes.importing.hidden_batch import shift

MADE = "sparcl.made"
"""Key in a value's ``meta``: folded from constants of the exporter, from nothing that could be a weight."""
SYMBOLIC = (
    "export it with a symbolic batch size (PyTorch: dynamic_axes={INPUT: {0: 'batch'}}; Keras and TensorFlow: an input "
    "of [None, ...])"
)
MOVING = {"Cast", "Flatten", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
"""Operators that move numbers and change none. The older exporter's Identity has the name of another parameter."""
KEEP_ROWS = "let it compute every row of the input by itself (PyTorch: x.flatten(1))"


def is_weight(value: ir.Value | None) -> bool:
    """Whether a value is made of numbers that the file stores, and that could be a weight."""
    if value is None or value.const_value is None or not is_float_constant(value):
        return False
    return value.const_value.size > 1 and not value.meta.get(MADE, False)


def mend(graph: ir.Graph) -> str:
    """The way to a model that takes any batch, where this one does not."""
    shape = graph.inputs[0].shape
    fixed = shape is not None and isinstance(shape[0], int)
    return f"{SYMBOLIC}, and {KEEP_ROWS}" if fixed else f"{KEEP_ROWS} and export it again"


class BatchTracer:
    """Walks a sorted graph once: repairs baked batch sizes, folds constants, writes shapes.

    1. A node whose result is the same in both worlds is replaced by an initializer under its output's name. That folds
       Constant, ConstantOfShape, Identity of a weight (so every reader has its own copy) and reshaped weights.
    2. A node into which the batch is written gets a symbolic one (``batch_repairs``).
    3. A batch of 1 whose axis the file leaves out stays in front of the others (``hidden_batch``).
    4. An If becomes the branch that it takes.
    5. A weight that is transposed twice is folded once where the file calls it one weight (``constants.Said``).
    6. A Gather that reads an element of a weight more than once stays, and what is made of it: the places share that
       element (a table of biases for relative positions), and folded they would learn apart.
    """

    def __init__(self, graph: ir.Graph, batch: int) -> None:
        """Trace ``graph``, exported at this batch size."""
        self.graph, self.batch = graph, batch
        self.facts = Trace(graph, batch)
        self.worlds = self.facts.worlds
        self.trained: set[ir.Value] = set()
        self.turned: dict[tuple[ir.Value | None, str], ir.Value] = {}

    def trace(self) -> Worlds:
        """Do it; raises ModelError when a node fits no other batch size."""
        for node in list(self.graph):
            self._follow(node)
        return self.worlds

    def _follow(self, node: ir.Node) -> None:
        if node.op_type == "If":
            for inner in branches.take(self.graph, node, self.worlds, self.facts.names):
                self._follow(inner)
            return
        shift(self.facts, node)
        if node.op_type in REPAIRS:
            REPAIRS[node.op_type](self.facts, node)
        self._visit(node)
        self._carry(node)
        self._fold(node)

    def _visit(self, node: ir.Node) -> None:
        try:
            self.worlds.visit(node)
        except ModelError as error:
            raise ModelError(f"{error}; {mend(self.graph)}") from error

    def _carry(self, node: ir.Node) -> None:
        """Let outputs inherit how the batch sits in a dimension of unchanged length."""
        for output in node.outputs:
            axis = self.facts.axis(output)
            if axis is None or output in self.facts.carriers:
                continue
            self.facts.carriers[output] = self._inherited(node, output, axis)

    def _inherited(self, node: ir.Node, output: ir.Value, axis: int) -> Carrier:
        carriers, length = self.facts.carriers, self.facts.small(output)[axis]
        for value in node.inputs:
            before, place = self.facts.small(value), self.facts.axis(value)
            if value not in carriers or place is None:
                continue
            if before[place] == length:
                return carriers[value]
            found = batch_place(before, place, carriers[value], self.facts.small(output), self.batch)
            if node.op_type == "Flatten" and found is not None:
                return found[1]
        return (1, max(1, length // self.batch))

    def _fold(self, node: ir.Node) -> None:
        arrays = [self.worlds.constant(output) for output in node.outputs if output.name]
        if not arrays or any(array is None for array in arrays):
            return
        known = any(value in self.trained or role_of(value) for value in node.inputs if value is not None)
        if known or self._shares(node):
            self.trained.update(node.outputs)  # a folded parameter would stop learning
            return
        turned = (node.inputs[0], str(node.attributes.get("perm"))) if self._is_turned(node) else None
        if turned in self.turned:
            replace_uses(self.graph, node.outputs[0], self.turned[turned])
            self.graph.remove(node, safe=True)
            return
        marks = self._marks(node, np.asarray(arrays[0]))
        for output, array in zip([o for o in node.outputs if o.name], arrays, strict=True):
            value = self._become_initializer(output, np.asarray(array))
            value.meta.update(marks)
            if turned is not None:
                self.turned[turned] = value
        self.graph.remove(node, safe=True)

    def _marks(self, node: ir.Node, data: np.ndarray) -> dict[str, object]:
        """What is known of the numbers that a node makes: where they come from."""
        sources = [value for value in node.inputs if value is not None and is_weight(value)]
        stored = may_be_weight(self.graph, node, data)
        moves = node.op_type in MOVING and len(sources) == 1
        odd = stored or (bool(sources) and all(value.meta.get(IN_NODE, False) for value in sources))
        return {
            MADE: not sources and not stored,
            FIXED: is_fixed(self.graph, node),
            IN_NODE: odd and not said_of(self.graph).stored,
            SOURCE: (sources[0].meta.get(SOURCE) or sources[0].name) if moves else None,
        }

    def _is_turned(self, node: ir.Node) -> bool:
        return node.op_type == "Transpose" and said_of(self.graph).shared and is_weight(node.inputs[0])

    def _shares(self, node: ir.Node) -> bool:
        if node.op_type != "Gather" or not is_weight(node.inputs[0]):
            return False
        rows = self.worlds.constant(node.inputs[1])
        return rows is not None and len(np.unique(rows)) < np.size(rows)

    def _become_initializer(self, output: ir.Value, array: np.ndarray) -> ir.Value:
        name = str(output.name)
        output.name = f"{name}.folded"
        value = adopt(self.graph, ir.Value(), name, array)
        replace_uses(self.graph, output, value)
        return value


def batch_of(value: ir.Value, graph: ir.Graph) -> int:
    """The batch size the model was exported for; when it is symbolic one that every node can take.

    That is 1, but 2 where a Squeeze without axes would take away the batch of one row, or an If could look for that.
    Where a number is written into a node all the same, it is that number.
    """
    length = None if value.shape is None else value.shape[0]
    if isinstance(length, int) and length > 0:
        return length
    usual = 2 if any(squeezes_all(node) or node.op_type == "If" for node in graph.all_nodes()) else 1
    written = sorted(set(written_batches(graph)) - {usual})
    return next((batch for batch in (usual, *written) if fits(graph, batch)), usual) if written else usual


def written_batches(graph: ir.Graph) -> list[int]:
    """The first lengths, larger than 1, to which the graph reshapes."""
    targets = [ir.convenience.get_const_tensor(node.inputs[1]) for node in graph if node.op_type == "Reshape"]  # type: ignore[arg-type]
    lengths = [int(tensor.numpy().reshape(-1)[0]) for tensor in targets if tensor is not None and tensor.size > 0]
    return [length for length in lengths if length > 1]


def fits(graph: ir.Graph, batch: int) -> bool:
    """Whether every node takes what it gets at a batch size, as the graph stands."""
    world = World.of(graph, batch)
    try:
        return all(_takes(world, node) for node in graph)
    except ModelError:
        return False


def _takes(world: World, node: ir.Node) -> bool:
    world.visit(node)
    if node.op_type != "Reshape":
        return True
    before, target = world.shape(node.inputs[0]), world.data(node.inputs[1])
    if before is None or target is None or target.ndim != 1:
        return True
    return math.prod(resolved(before, target, allows_zero(node))) == math.prod(before)
