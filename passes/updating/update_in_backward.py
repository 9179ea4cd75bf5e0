"""Each parameter moves in the backward pass, as soon as its gradient is there."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import NEXT, Role, accumulator_name, gradient_name
from sparcl_compile.passes.analysis.heads import below
from sparcl_compile.passes.analysis.liveness.in_place import places_of, unordered_readers
from sparcl_compile.passes.core.accumulation import GRADIENT, RESET, accumulations
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import is_read
from sparcl_compile.passes.core.facts import DIFFERENTIATED, MOVING, OPTIMIZER
from sparcl_compile.passes.core.inlining import inline_calls
from sparcl_compile.passes.core.layers import rate_factor, step_limit
from sparcl_compile.passes.core.marks import OPTIMIZER_KEY
from sparcl_compile.passes.core.missing_shapes import state_shapes
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.core.unused import remove_unread_constants
from sparcl_compile.passes.core.values import BOOL, FLOAT, INT64, constant, dims, feed, value_named
from sparcl_compile.passes.updating.optimizer_steps import Stepper

VIEWS = ("Reshape", "Squeeze", "Unsqueeze", "Flatten")
"""Operators whose output has the numbers of their first input in the same order."""
LINEAR = "sgd"
"""The optimizer whose step is a multiple of the gradient."""


@dataclasses.dataclass(frozen=True)
class UpdateInBackward(Pass):
    """Apply the optimizer to each gradient where it is computed, instead of storing it for a graph of the optimizer.

    1. For steps of one batch (no replay, or replay merged into the batch): nothing is added up then. The accumulator of
       each parameter gives way to the optimizer's function, inlined; ``learning_rate`` and ``count`` become inputs,
       ``W.next`` and the next optimizer state outputs; the accumulators and ``lazy_reset_grad`` go.
    2. A gradient dies at once: all gradients together take the memory of the largest one, and each is read while it is
       in the caches.
    3. Under SGD without momentum, weight decay and limits of steps the learning rate multiplies the gradient of the
       loss, one number, and not every weight's, which would be a second tensor of that size; ``W.next`` is ``W - dW``
       then. The same product with its factors in another order: equal to rounding. Only a weight whose learning rate
       has a factor of its own (``scale_by_density``) has its gradient multiplied.
    4. ``W.next`` may be written over ``W`` (``liveness/in_place.py``) only when the graph's edges put every reader of
       ``W`` before it. A reader that they do not put there (an input gradient that is a node of its own) gets a control
       dependency: dW is reshaped to its own shape, which is a view, and that shape depends on the reader's output.
       No other view stands in front of this one: of two in a row ONNX Runtime (1.32.0) makes one to a constant shape,
       and the dependency would be gone.
    5. The steps are the last nodes of the file, in the order of the accumulators, which ``order_backward`` chose.
    6. Constants that nothing reads any more go as well: ONNX Runtime warns of each.
    7. A graph without accumulators is left alone.

    Source: updates inside the backward pass are those of Lin et al., On-Device Training Under 256KB Memory (2022,
    section 3.3), and of Lv et al., Full Parameter Fine-tuning for Large Language Models with Limited Resources (2023,
    section 3).
    """

    phase = Phase.UPDATING
    needs = (DIFFERENTIATED, OPTIMIZER)
    gives = (MOVING,)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Update in a training graph that has its optimizer's function."""
        graph = model.graph
        buffers = {str(value.name): value for value in values_with_role(model, Role.GRADIENT)}
        if not buffers:
            return ir.passes.PassResult(model, False)
        weights = {buffers[accumulator_name(str(w.name))]: w for w in values_with_role(model, Role.PARAMETER)}
        accumulating = {node: weights[buffer] for buffer, node in accumulations(graph).items() if buffer in weights}
        found = [(node.inputs[GRADIENT], weight) for node, weight in accumulating.items()]
        updated = {node.outputs[0] for node in accumulating}
        graph.outputs[:] = [value for value in graph.outputs if value not in updated]
        graph.remove(accumulating, safe=True)
        if model.metadata_props[OPTIMIZER_KEY] == LINEAR and not any(step_limit(weight) for _, weight in found):
            self._subtract(graph, found)
        else:
            self._call_function(model, found)
        gone = {*weights, *(value for value in graph.inputs if value.name == RESET)}
        graph.remove(below(*gone), safe=True)
        graph.inputs[:] = [value for value in graph.inputs if value not in gone]
        remove_unread_constants(graph)
        return ir.passes.PassResult(model, True)

    def _subtract(self, graph: ir.Graph, found: list[tuple[ir.Value | None, ir.Value]]) -> None:
        of_loss = value_named(graph, gradient_name("loss"))
        uses, first = list(of_loss.uses()), self.inserter(graph).before(graph[0])
        name, rate = f"{of_loss.name}.scaled", feed(graph, "learning_rate", [])
        scaled = first.op("Mul", rate, of_loss, name=name, like=of_loss, dtype=FLOAT)
        for use in uses:
            use.node.replace_input_with(use.idx, scaled)
        places = places_of(graph)
        for accumulated, weight in found:
            gradient = self._freed(graph, places, accumulated, weight)
            moved = self._scaled(graph, gradient, weight)
            name, shape = f"{weight.name}{NEXT}", dims(weight)
            graph.outputs.append(self.inserter(graph).op("Sub", weight, moved, name=name, shape=shape))

    def _scaled(self, graph: ir.Graph, gradient: ir.Value, weight: ir.Value) -> ir.Value:
        """The gradient times the factor of the parameter's learning rate."""
        factor, shape = rate_factor(weight), dims(weight)
        if factor == 1.0:
            return gradient
        by = constant(graph, f"{weight.name}.rate", np.full([1] * len(shape), factor, np.float32))
        return self.inserter(graph).op("Mul", gradient, by, name=f"{weight.name}.step", shape=shape)

    def _call_function(self, model: ir.Model, found: list[tuple[ir.Value | None, ir.Value]]) -> None:
        places, stepper = places_of(model.graph), Stepper(self, model, model.graph)
        for accumulated, weight in found:
            stepper.append(weight, self._freed(model.graph, places, accumulated, weight))
        calls = set(model.graph)
        for function in list(model.functions.values()):
            inline_calls(model, function)
        for node in set(model.graph) - calls:
            self.tag(node)
        state_shapes(model)

    def _freed(
        self, graph: ir.Graph, places: Mapping[ir.Node, int], gradient: ir.Value | None, weight: ir.Value
    ) -> ir.Value:
        """The accumulated gradient, with a control dependency on every reader of the weight."""
        source = None if gradient is None else gradient.producer()
        if gradient is None or source is None:
            raise ValueError(f"{weight.name} has no gradient")
        # ONNX Runtime knows no shapes behind its own gradient operators.
        gradient.shape, gradient.type = weight.shape, weight.type
        readers = unordered_readers(weight, source, places)
        if not readers:
            return gradient
        name = f"{weight.name}.is_read"
        shape = constant(graph, f"{name}.shape", np.array(dims(weight), np.int64))
        for index, reader in enumerate(readers):
            shape = self._after(graph, reader, shape, f"{name}.{index}")
        add = self.inserter(graph).op
        freed = add("Reshape", _behind_views(gradient), shape, name=f"{name}.gradient", shape=dims(weight))
        _drop_unread(graph, source)
        return freed

    def _after(self, graph: ir.Graph, reader: ir.Node, shape: ir.Value, name: str) -> ir.Value:
        """The shape, known when ``reader`` has run."""
        read = next(out for out in reader.outputs if out.name)
        add = self.inserter(graph).op
        size = add("Size", read, name=f"{name}.size", shape=[], dtype=INT64)
        done = add("Cast", size, name=f"{name}.done", shape=[], dtype=BOOL, to=int(ir.DataType.BOOL))
        return add("Where", done, shape, shape, name=name, shape=dims(shape), dtype=INT64)


def _behind_views(value: ir.Value) -> ir.Value:
    """The value that a row of views shows in other shapes."""
    node = value.producer()
    while node is not None and node.op_type in VIEWS and node.inputs[0] is not None:
        value, node = node.inputs[0], node.inputs[0].producer()
    return value


def _drop_unread(graph: ir.Graph, node: ir.Node | None) -> None:
    """Remove a row of views that nothing reads any more."""
    while node is not None and node.op_type in VIEWS and not is_read(node.outputs[0]):
        source = node.inputs[0]
        graph.remove(node, safe=True)
        node = None if source is None else source.producer()
