"""The backward graph, in standard operators."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.errors import UnsupportedOpsError
from sparcl_compile.interface.names import NEXT, Role, accumulator_name, gradient_name
from sparcl_compile.passes.core.accumulation import RESET
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import Names
from sparcl_compile.passes.core.facts import ACCUMULATING, DIFFERENTIATED, LOSS, MARKED
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.missing_shapes import state_shapes
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import role_of, set_role, values_with_role
from sparcl_compile.passes.core.values import BOOL, FLOAT, Feeds, constant, dims
from sparcl_compile.passes.gradients.gradient import FLOAT_TYPE, PART, Gradient
from sparcl_compile.passes.gradients.table import STOPS, rule_for

FED = (Role.PARAMETER, Role.MASK, Role.INDEX, Role.RUNNING_STAT)
"""Roles of the state that the training graph is fed."""


@dataclasses.dataclass(frozen=True)
class Differentiate(Pass):
    """Append the backward graph and one gradient accumulator a parameter, in operators that every ONNX Runtime has.

    1. Reverse mode: the nodes between a parameter and the loss are walked through from the last to the first, and the
       rule of each operator (``passes/gradients``) writes the gradients of its inputs from that of its output. A value
       that several nodes read gets the sum.
    2. Every node that a rule writes is standard ONNX of opset 18, or an operator of the domain ``sparcl``.
    3. An operator without a rule is refused by name, all of them at once.
    4. Every initializer with a role becomes a graph input; its data leave the graph, and ``emit`` takes them from the
       forward graph. Frozen parameters have no gradient and stay constants, which ONNX Runtime lays out and fuses as in
       inference; the backward graph ends where nothing below trains.
    5. ``W_grad.accumulation.buffer`` is an input and its ``.next`` an output: ``buffer * keep + dW``, where ``keep`` is
       0 when ``lazy_reset_grad`` is set and 1 otherwise. It is a product because ONNX Runtime's Where walks over three
       tensors more; a gradient that is no longer finite ends the run before a product with 0 could hand it on.
    6. A graph with ``lazy_reset_grad`` is already differentiated and left alone.

    Options:
        by_rows: whether weight gradients take forms alone of which ``compute_gradient_rows`` can cut rows.
        sparing: whether weight gradients take forms that hold little at once and are somewhat slower.
    """

    phase = Phase.DIFFERENTIATING
    needs = (MARKED, LOSS)
    gives = (DIFFERENTIATED, ACCUMULATING)

    by_rows: bool = False
    sparing: bool = False

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Differentiate; raises UnsupportedOpsError for operators that have no gradient, all of which are named."""
        graph = model.graph
        if any(value.name == RESET for value in graph.inputs):
            return ir.passes.PassResult(model, False)
        path = path_to_loss(graph)
        check_rules(path)
        insert = Inserter(self.name, graph, Names(graph))
        found = _Backward(insert, path, self).walk(graph.outputs[0])
        parameters = list(values_with_role(model, Role.PARAMETER))
        _feed_state(graph)
        self._accumulate(graph, insert, [(weight, found.get(weight)) for weight in parameters])
        state_shapes(model)
        return ir.passes.PassResult(model, True)

    def _accumulate(self, graph: ir.Graph, insert: Inserter, pairs: Iterable[tuple[ir.Value, ir.Value | None]]) -> None:
        feeds = Feeds(graph)
        reset = feeds(RESET, [1], BOOL)
        fresh = insert.op("Not", reset, name="accumulate.is_further", shape=[1], dtype=BOOL)
        keep = insert.op("Cast", fresh, name="accumulate.keep", shape=[1], to=FLOAT_TYPE)
        for weight, gradient in pairs:
            name, shape = accumulator_name(str(weight.name)), dims(weight)
            buffer = set_role(feeds(name, shape), Role.GRADIENT)
            added = gradient or constant(graph, f"{weight.name}_grad.none", np.zeros(shape, np.float32))
            kept = insert.op("Mul", buffer, self._with_axes(insert, keep, len(shape)), name=f"{name}.kept", shape=shape)
            graph.outputs.append(insert.op("Add", kept, added, name=f"{name}{NEXT}", shape=shape))

    def _with_axes(self, insert: Inserter, keep: ir.Value, rank: int) -> ir.Value:
        """``keep`` with as many axes: a scalar would be broadcast over a last axis of 1 element by element."""
        if rank <= 1:
            return keep
        name = f"accumulate.keep_{rank}"
        made = next((use.node.outputs[0] for use in keep.uses() if use.node.outputs[0].name == name), None)
        if made is not None:
            return made
        axes = constant(insert.graph, f"accumulate.axes_{rank}", np.arange(1, rank, dtype=np.int64))
        return insert.op("Unsqueeze", keep, axes, name=name, shape=[1] * rank)


def path_to_loss(graph: ir.Graph) -> list[ir.Node]:
    """The nodes between a parameter and the first output, in graph order."""
    trained = _depending(graph)
    needed: set[ir.Value | None] = {graph.outputs[0]}
    path = []
    for node in reversed(graph):
        if trained.intersection(node.outputs) and needed.intersection(node.outputs):
            needed.update(node.inputs)
            path.append(node)
    return path[::-1]


def _depending(graph: ir.Graph) -> set[ir.Value]:
    """The parameters, and the floats that depend on them by more than a comparison or a whole number."""
    found = {value for value in graph.initializers.values() if role_of(value) is Role.PARAMETER}
    for node in graph:
        if node.op_type not in STOPS and any(value in found for value in node.inputs):
            found.update(out for out in node.outputs if out.dtype is None or out.dtype.is_floating_point())
    return found


def check_rules(path: Sequence[ir.Node]) -> None:
    """Raise UnsupportedOpsError, which names every node of the path whose operator has no rule."""
    lacking = [f"{node.op_type} ({node.name})" for node in path if rule_for(node) is None]
    if lacking:
        raise UnsupportedOpsError(
            f"{len(lacking)} operator(s) between the weights and the logits cannot be trained: {', '.join(lacking)}; "
            "replace them in the model before exporting it, or add their gradients (docs/gradients.md)"
        )


class _Backward:
    """The walk from the loss back to the parameters."""

    def __init__(self, insert: Inserter, path: Sequence[ir.Node], options: Differentiate) -> None:
        self._insert, self._path, self._options = insert, path, options
        self._trained = _depending(insert.graph)
        self._parts: dict[ir.Value, list[ir.Value]] = {}

    def walk(self, loss: ir.Value) -> dict[ir.Value, ir.Value]:
        """Write the backward graph; returns the gradient of each parameter that the loss depends on."""
        one = constant(self._insert.graph, gradient_name("loss"), np.array(1, np.float32))
        self._parts[loss] = [one]
        for node in reversed(self._path):
            self._visit(node)
        return {value: self._total(value) for value in self._parts if role_of(value) is Role.PARAMETER}  # type: ignore[misc]

    def _visit(self, node: ir.Node) -> None:
        rule, gradients = rule_for(node), [self._total(out) for out in node.outputs]
        if rule is None or not any(gradients):
            return
        wanted = [number for number, value in enumerate(node.inputs) if value in self._trained]
        made = rule(Gradient(self._insert, node, gradients, wanted, self._options.by_rows, self._options.sparing))
        for number, part in enumerate(made):
            if number in wanted and part is not None:
                self._parts.setdefault(node.inputs[number], []).append(part)  # type: ignore[arg-type]

    def _total(self, value: ir.Value) -> ir.Value | None:
        """The sum of a value's gradients, under the name of its gradient; None where there is none."""
        parts = self._parts.get(value)
        if not parts:
            return None
        if len(parts) > 1:
            self._parts[value] = parts = [
                self._insert.op("Sum", *parts, name=gradient_name(str(value.name)), like=value, dtype=FLOAT)
            ]
        return self._named(value, parts[0])

    def _named(self, value: ir.Value, gradient: ir.Value) -> ir.Value:
        """A gradient that a rule has just made takes the name and the shape of its value's."""
        if gradient.producer() is not None and PART in str(gradient.name):
            gradient.name = self._insert.fresh(gradient_name(str(value.name)))
            gradient.shape, gradient.type = value.shape, value.type or gradient.type
        return gradient


def _feed_state(graph: ir.Graph) -> None:
    """Make the state that changes inputs of the graph."""
    for value in [value for value in graph.initializers.values() if role_of(value) in FED]:
        graph.initializers.pop(str(value.name))
        value.const_value = None
        graph.inputs.append(value)
