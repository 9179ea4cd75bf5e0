"""Walks a forward graph and lets the rule of each operator say what becomes of the labels."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.channels.labels import QUIET, Axis, Cause, Ties
from sparcl_compile.passes.core.edit import is_read
from sparcl_compile.passes.core.roles import TRAINABLE, role_of
from sparcl_compile.passes.core.worlds import World

BATCH = 7
"""The batch size at which lengths are followed: a prime, so that a product that holds it is seldom another's."""

Axes = list[Axis]
"""One entry an axis of a value."""


@dataclasses.dataclass(frozen=True)
class Length:
    """An entry of a constant that holds a length: the number of these elements that stay."""

    node: str
    slot: int
    entry: int
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Split:
    """A Reshape that splits labelled elements [length] along one of several axes.

    Attributes:
        key: what ``choices`` knows it by.
        labels: the elements.
        kept: those that the chosen axis goes on with.
        candidates: how many axes there are to choose from.
        rest: what the other axes stay by.
    """

    key: str
    labels: np.ndarray
    kept: np.ndarray
    candidates: int
    rest: Cause


def shapes_of(graph: ir.Graph) -> World:
    """All shapes at batch size BATCH; raises ModelError where an input has another open length."""
    world = World(BATCH)
    for value in graph.inputs:
        world.enter(value)
    for node in graph:
        world.visit(node)
    return world


class Trace:
    """The state of one walk, which the rules read and extend.

    Attributes:
        world: the shapes, and the contents of constants.
        ties: labels, ties and blocks so far.
        states: the axes of every value seen so far.
        lengths: constants that have to follow when elements are removed.
        splits: the Reshapes where ``choices`` decided.
        weights: parameters, and values that hold a parameter's elements in another shape: contracting over one of their
            axes is exact, because the elements of a removed unit are zero there.
    """

    def __init__(self, graph: ir.Graph, world: World, choices: Mapping[str, int]) -> None:
        """Begin with the graph's input; ``choices`` gives the number of the candidate by Reshape, 0 by default."""
        self.graph = graph
        self.world = world
        self.choices = choices
        self.ties = Ties()
        self.states: dict[ir.Value, Axes] = {}
        self.lengths: list[Length] = []
        self.splits: list[Split] = []
        self.weights = {v for v in graph.initializers.values() if role_of(v) in TRAINABLE}
        for value in graph.inputs:
            name = str(value.name)
            features = [Cause(name, "", "the model's input")] * (len(self.shape(value)) - 1)
            self.states[value] = [Cause(name, "", "the rows of a batch"), *features]

    def walk(self, rules: Mapping[str, "Rule"]) -> None:
        """Apply the rule of every node, in graph order; one without a rule blocks all that it reads."""
        for node in self.graph:
            rule = rules.get(node.op_type, unknown) if self._known(node) else unknown
            for value, axes in zip(node.outputs, rule(self, node), strict=False):
                self.states[value] = [self._settled(node, axis) for axis in axes]

    def _settled(self, node: ir.Node, axis: Axis) -> Axis:
        """A single element cannot be removed: the axis would be empty where others are broadcast against it."""
        if isinstance(axis, Cause) or len(axis) > 1:
            return axis
        self.block(node, [axis], "takes a single element of it")
        return QUIET

    def _known(self, node: ir.Node) -> bool:
        """Whether a node is a standard operator and the shapes of all that it reads and makes are known."""
        values = [v for v in (*node.inputs, *filter(is_read, node.outputs)) if v is not None]
        return not node.domain and all(self.world.shape(v) is not None for v in values)

    def shape(self, value: ir.Value | None) -> tuple[int, ...]:
        """The lengths of a value's axes at batch size BATCH; empty when unknown."""
        return self.world.shape(value) or ()

    def axes(self, node: ir.Node, slot: int) -> Axes:
        """The axes of an input of a node."""
        value = node.inputs[slot]
        if value is None:
            return []
        if value not in self.states:
            self.states[value] = self._stored(node, value) if value.is_initializer() else []
        return self.states[value]

    def _stored(self, node: ir.Node, value: ir.Value) -> Axes:
        """The axes of an initializer that is met for the first time."""
        shape = self.shape(value)
        if role_of(value) in (*TRAINABLE, Role.RUNNING_STAT):
            return [self.ties.fresh(length) if length > 1 else QUIET for length in shape]
        data = np.asarray(self.world.data(value))
        uneven = self.cause(node, "a constant that differs along it")
        return [self._constant(data, axis, uneven) for axis in range(len(shape))]

    def _constant(self, data: np.ndarray, axis: int, uneven: Cause) -> Axis:
        """A float constant that is the same all along an axis can be cut there, whichever units stay."""
        length = data.shape[axis]
        if length < 2:
            return QUIET
        even = data.dtype.kind == "f" and bool(np.all(data == np.take(data, [0], axis)))
        return self.ties.fresh(length) if even else uneven

    def cause(self, node: ir.Node, reason: str) -> Cause:
        """A cause at a node."""
        return Cause(str(node.name), node.op_type, reason)

    def block(self, node: ir.Node, axes: Axes, reason: str) -> None:
        """These axes stay because of a node."""
        for axis in axes:
            self.ties.block(axis, self.cause(node, reason))

    def follow(self, node: ir.Node, slot: int, entry: int, axis: Axis) -> None:
        """Note that an entry of a constant input is the number of these elements; block them if it is no constant."""
        if isinstance(axis, Cause):
            return
        value = node.inputs[slot] if slot < len(node.inputs) else None
        if value is not None and not value.is_initializer():
            self.block(node, [axis], "a length that the graph computes")
            return
        self.lengths.append(Length(str(node.name), slot, entry, axis))


Rule = Callable[[Trace, ir.Node], list[Axes]]
"""Ties and blocks what the node reads; returns the axes of its outputs, as many as are needed."""


def unknown(t: Trace, node: ir.Node) -> list[Axes]:
    """An operator of which nothing is known: everything around it stays."""
    reason = "an operator without a rule"
    for slot in range(len(node.inputs)):
        t.block(node, t.axes(node, slot), reason)
    return [whole(t, node, value, reason) for value in node.outputs]


def whole(t: Trace, node: ir.Node, value: ir.Value, reason: str) -> Axes:
    """Axes that all stay because of the node that made the value."""
    return [t.cause(node, reason) if length > 1 else QUIET for length in t.shape(value)]


def positions(t: Trace, node: ir.Node, axes: Axes, count: int) -> Axes:
    """The spatial axes after a node that slides a window over ``axes``, which stay."""
    t.block(node, axes, "positions, not channels")
    return [t.cause(node, "positions, not channels")] * count
