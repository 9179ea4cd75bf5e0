"""The dependency analysis: which channels, heads and hidden units of a forward graph can be removed, and what stops it.

Every element of every channel axis gets a label; the rule of an operator (layers.py, elementwise.py, moves.py) passes
labels on, ties two of them, or blocks them with a reason. Connected components of tied labels are the units, and those
that lie alike on all axes form a space. A sum over labelled elements is allowed against a parameter only: there the
elements of a removed unit are zero, so that the graph without the unit computes the same. What is not proven stays.
The idea of grouping coupled channels is that of DepGraph (Fang et al., CVPR 2023).
"""

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.channels import Segment, Stop
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.channels import data_movement as moves
from sparcl_compile.passes.analysis.channels import elementwise, layers
from sparcl_compile.passes.analysis.channels.labels import QUIET, Axis, Cause, Components
from sparcl_compile.passes.analysis.channels.segmentation import Layout, lay_out, named
from sparcl_compile.passes.analysis.channels.spaces import Axes, Channels, Space
from sparcl_compile.passes.analysis.channels.walk import Rule, Trace, shapes_of
from sparcl_compile.passes.core.edit import int_attribute
from sparcl_compile.passes.core.layers import RECURRENT, layer_weights, weighted_layers
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.core.worlds import World

RULES: Mapping[str, Rule] = {**elementwise.RULES, **layers.RULES, **moves.RULES}
FACTORS = {"BatchNormalization": (1, 4), "Mul": (0, 1), "Div": (0, 1)}
"""Inputs that a grown unit is multiplied by: they start at 1."""
CLASSES = "the classes"


def analyse(model: ir.Model, dense: Collection[str] = ()) -> Channels:
    """Find the channel spaces of a forward graph as ``import_forward`` leaves it.

    Args:
        model: opset 18, parameters are initializers with roles; it is not changed.
        dense: names of weights, and of other parameters, that stay whole.
    """
    choices: dict[str, int] = {}
    world = shapes_of(model.graph)
    best = last = attempt(model.graph, world, dense, choices)
    while next_choices(last.trace, last.components, choices):
        last = attempt(model.graph, world, dense, choices)
        best = max(best, last, key=lambda one: one.removable)
    return Result(model, best.trace, best.components).channels()


@dataclasses.dataclass
class Attempt:
    """One walk, and how many elements lie on removable rows or columns of layer weights, for comparing walks."""

    trace: Trace
    components: Components
    removable: int


def attempt(graph: ir.Graph, world: World, dense: Collection[str], choices: Mapping[str, int]) -> Attempt:
    """Walk the graph with these choices."""
    trace = walked(Trace(graph, world, choices), dense)
    components = trace.ties.components()
    return Attempt(trace, components, removable(graph, trace, components))


def walked(trace: Trace, dense: Collection[str]) -> Trace:
    """Walk the graph; the classes and ``dense`` parameters are blocked."""
    for node, weight in weighted_layers(trace.graph):
        cause = Cause(str(weight.name), "", reason(weight))
        for axis in trace.axes(node, list(node.inputs).index(weight)) if weight.name in dense else ():
            trace.ties.block(axis, cause)
    trace.walk(RULES)
    for value in [v for v in trace.graph.initializers.values() if v.name in dense]:
        for axis in trace.states.get(value, []):
            trace.ties.block(axis, Cause(str(value.name), "", reason(value)))
    logits = trace.graph.outputs[0]
    maker = logits.producer()
    cause = Cause(str(logits.name), "", CLASSES) if maker is None else trace.cause(maker, CLASSES)
    for axis in trace.states.get(logits, []):
        trace.ties.block(axis, cause)
    return trace


def reason(value: ir.Value) -> str:
    """Why a parameter stays whole: it is frozen, or the user said so."""
    return "frozen" if role_of(value) is Role.FROZEN else "--dense"


def next_choices(trace: Trace, components: Components, choices: dict[str, int]) -> bool:
    """Take the next candidate where a Reshape's choice left nothing to remove; returns whether there was one.

    The blame is first on the Reshape that chose otherwise (values split along the size of a head, queries along the
    heads), then on those whose chosen axis is what a node stopped, then on the last that has a choice left.
    """
    stuck = [split for split in trace.splits if not components.free(split.labels).any()]
    left = [split for split in trace.splits if choices.get(split.key, 0) + 1 < split.candidates]
    causes = {cause for split in stuck for cause in components.causes_of(split.labels)}
    hit = {id(labels) for labels, _ in trace.ties.blocks}
    stuck_left = [split for split in left if any(split is one for one in stuck)]
    moved = [split for split in left if split.rest in causes]
    moved = moved or [split for split in stuck_left if id(split.kept) in hit] or stuck_left[-1:]
    for split in moved:
        choices[split.key] = choices.get(split.key, 0) + 1
    return bool(moved)


def removable(graph: ir.Graph, trace: Trace, components: Components) -> int:
    """Number of elements that lie on removable rows or columns of layer weights."""
    total = 0
    for node, weight in weighted_layers(graph):
        shape = trace.shape(weight)
        for axis in channel_axes(node, weight):
            labels = trace.states[weight][axis]
            free = 0 if isinstance(labels, Cause) else int(components.free(labels).sum())
            total += free * math.prod(shape) // shape[axis]
    return total


def channel_axes(node: ir.Node, weight: ir.Value) -> tuple[int, int]:
    """The axes along which a layer's weight produces and contracts channels."""
    rank = len(weight.shape or ())
    left = node.op_type != "Conv" and node.inputs[0] is weight
    if node.op_type in RECURRENT:
        return 1, 2
    if node.op_type == "MatMul":
        return (rank - 2, rank - 1) if left else (rank - 1, rank - 2)
    if node.op_type == "Gemm":
        turned = int_attribute(node, "transA" if left else "transB", 0)
        produced = turned if left else 1 - turned
        return produced, 1 - produced
    return (1, 0) if node.op_type == "ConvTranspose" else (0, 1)


@dataclasses.dataclass
class Result:
    """Turns components into named spaces, segments and stops."""

    model: ir.Model
    trace: Trace
    components: Components

    def channels(self) -> Channels:
        """Everything that ``analyse`` returns."""
        self._keep_weightless()
        order = self._axes_in_order()
        labels = [axis for axis, _ in order.values()]
        layout = lay_out(self.components, labels, [cause for _, cause in order.values()])
        names = self._names(layout)
        axes = self._axes(layout, names)
        return Channels(
            spaces=tuple(Space(names[number], size) for number, size in enumerate(layout.sizes)),
            axes=axes,
            produced={str(weight.name): axis for weight, axis, _ in self._layers()},
            fills=self._fills(axes),
            stops=self._stops(),
            lengths=self._lengths(layout, names),
        )

    def _keep_weightless(self) -> None:
        """Units that lie on no layer's weight (elements of a constant, say) are no channels."""
        found = np.zeros(len(self.components.stays), bool)
        for _, labels in self._weight_axes():
            if not isinstance(labels, Cause):
                found[self.components.of_label[labels]] = True
        self.components.keep(np.flatnonzero(~found), QUIET)

    def _layers(self) -> list[tuple[ir.Value, int, int]]:
        """The weights in layer order with the axes that they produce and contract."""
        seen: dict[str, tuple[ir.Value, int, int]] = {}
        for node, weight in weighted_layers(self.model.graph):
            seen.setdefault(str(weight.name), (weight, *channel_axes(node, weight)))
        return list(seen.values())

    def _weight_axes(self) -> Iterator[tuple[str, Axis]]:
        """The axes that the weights produce and contract, in layer order, each with its weight's name."""
        for weight, *axes in self._layers():
            yield from ((str(weight.name), self.trace.states[weight][axis]) for axis in axes)

    def _axes_in_order(self) -> dict[int, tuple[np.ndarray, Cause]]:
        """Every array of labels once, with its value as a cause: first those that weights produce."""
        found: dict[int, tuple[np.ndarray, Cause]] = {}

        def add(axis: Axis, cause: Cause) -> None:
            if isinstance(axis, np.ndarray):
                found.setdefault(id(axis), (axis, cause))

        for weight, produced, _ in self._layers():
            add(self.trace.states[weight][produced], Cause(str(weight.name), "", ""))
        for value, axes in self.trace.states.items():
            node = value.producer()
            cause = Cause(str(node.name), node.op_type, "") if node else Cause(str(value.name), "", "")
            for axis in axes:
                add(axis, cause)
        for length in self.trace.lengths:
            add(length.labels, Cause(length.node, "", ""))
        return found

    def _names(self, layout: Layout) -> dict[int, str]:
        """A space is named after the first weight that produces its units; further ones of a weight get a number."""
        names: dict[int, str] = {}
        taken: set[str] = set()
        tensors = [(weight, produced) for weight, produced, _ in self._layers()]
        tensors += [(value, a) for value, axes in self.trace.states.items() for a in range(len(axes))]
        for value, axis in tensors:
            labels = self.trace.states[value][axis]
            if isinstance(labels, Cause):
                continue
            spaces = layout.space[self.components.of_label[labels]]
            unnamed = [space for space in dict.fromkeys(spaces.tolist()) if space >= 0 and space not in names]
            for space in unnamed:
                names[space] = unique(str(value.name), taken)
        return names

    def _segments(self, layout: Layout, names: Mapping[int, str], axis: Axis) -> tuple[Segment, ...]:
        """The segments of an axis; empty when no space lies on it."""
        if isinstance(axis, Cause):
            return ()
        segments = layout.segments(self.components.of_label[axis])
        if segments is None or all(one[0] < 0 for one in segments):
            return ()
        return named(segments, names)

    def _axes(self, layout: Layout, names: Mapping[int, str]) -> dict[str, Axes]:
        """Segments by initializer."""
        found: dict[str, Axes] = {}
        for name, value in self.model.graph.initializers.items():
            states = enumerate(self.trace.states.get(value, []))
            segments = {axis: self._segments(layout, names, labels) for axis, labels in states}
            if any(segments.values()):
                found[name] = {axis: parts for axis, parts in segments.items() if parts}
        return found

    def _lengths(self, layout: Layout, names: Mapping[int, str]) -> dict[tuple[str, int], Axes]:
        """Segments by constant that holds their length."""
        found: dict[tuple[str, int], dict[int, tuple[Segment, ...]]] = {}
        for one in self.trace.lengths:
            segments = self._segments(layout, names, one.labels)
            if segments:
                found.setdefault((one.node, one.slot), {})[one.entry] = segments
        return dict(found)

    def _fills(self, axes: Mapping[str, Axes]) -> dict[str, float]:
        """First values of grown units in tensors that are no weights."""
        weights = {str(weight.name) for weight in layer_weights(self.model)}
        values = self.model.graph.initializers
        state = [name for name in axes if name not in weights and role_of(values[name]) is not None]
        factors = {
            str(origin(value).name)
            for node in self.model.graph
            for slot in FACTORS.get(node.op_type, ())
            if (value := node.inputs[slot]) is not None
        }
        return {name: 1.0 if name in factors else 0.0 for name in state}

    def _stops(self) -> tuple[Stop, ...]:
        """The causes that keep an axis of a weight, in their order in the graph."""
        kept: dict[Cause, dict[str, None]] = {}
        for name, labels in self._weight_axes():
            causes = [] if isinstance(labels, Cause) else self.components.causes_of(labels)
            for cause in causes:
                kept.setdefault(cause, {})[name] = None
        rank = {cause: index for index, cause in reversed(list(enumerate(self.components.causes)))}
        chosen = sorted((cause for cause in kept if cause != QUIET), key=lambda cause: rank[cause])
        return tuple(Stop(cause.node, cause.op_type, cause.reason, tuple(kept[cause])) for cause in chosen)


def origin(value: ir.Value) -> ir.Value:
    """The value that a chain of moves starts from."""
    node = value.producer()
    while node is not None and node.op_type in elementwise.MOVES and node.inputs[0] is not None:
        value = node.inputs[0]
        node = value.producer()
    return value


def unique(name: str, taken: set[str]) -> str:
    """The name, or name.1, name.2, ...; notes that it is taken."""
    number, one = 0, name
    while one in taken:
        number += 1
        one = f"{name}.{number}"
    taken.add(one)
    return one
