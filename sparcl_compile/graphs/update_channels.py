"""Mask update (TDM) of whole channels: remove the least important units, grow others, move them between the places."""

import dataclasses
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.graphs.builder import BOOL, FLOAT, INT64, UINT32, Builder
from sparcl_compile.graphs.channel_axes import along_axis, element_flags, element_indices, sums_of_units
from sparcl_compile.graphs.channel_growth import Growth
from sparcl_compile.graphs.exchange import grow_at_random, stays_after_removal
from sparcl_compile.graphs.hash import Stream, numbered, words
from sparcl_compile.graphs.hash import key as chained
from sparcl_compile.graphs.masks import MaskedLayer, gradients, importance_of
from sparcl_compile.graphs.selection import flags
from sparcl_compile.interface.channels import Segment
from sparcl_compile.interface.names import NEXT, Role, gradient_mask_name, mask_name
from sparcl_compile.passes.analysis.channels.plan import ChannelPlan, index_name, live_name
from sparcl_compile.passes.analysis.channels.spaces import Space

REMOVE_TO, GROW_TO = "remove_to", "grow_to"


@dataclasses.dataclass(frozen=True)
class Places:
    """The places of one space after the update, each a vector [K].

    Attributes:
        index: int64, the full number of the unit in each place, ascending.
        source: int64, the place that the unit had before; None where no unit ever moves.
        carried: bool, the unit was kept and stays.
        grown: bool, the unit is new.
        kept: bool, either of them.
    """

    index: ir.Value
    source: ir.Value | None
    carried: ir.Value
    grown: ir.Value
    kept: ir.Value


def build(
    plan: ChannelPlan,
    roles: Mapping[str, Role],
    optimizer_states: Mapping[str, Sequence[str]],
    fan_in: Mapping[str, int],
    alpha: float,
    beta: float,
    gradient_masks: bool,
) -> ir.Model:
    """Make the graph ``update_masks`` for S spaces of channels, folded or not.

    Inputs: ``key`` int64 [3] (seed, mask updates so far), ``remove_to`` and ``grow_to`` int64 [S]; state: for each
    masked weight W ``W.g1`` and ``W.g2`` float32 in W's stored shape, index and live of each space, and every tensor
    on their axes with its mask and optimizer states. Results: ``.next`` of all of it, and of the gradient masks.

    Spaces that are computed alike share a function, and so do weights.

    Args:
        plan: the spaces, their axes, and the tensors' full and stored shapes.
        roles: ``parameter`` or ``running_stat`` by name of each tensor on an axis that is state.
        optimizer_states: names of the optimizer states of each parameter; a parameter may be missing.
        fan_in: by masked weight how many elements feed one output element, for the first values of a grown unit.
        alpha: factor of ``|g1|``.
        beta: factor of ``|g2|``.
        gradient_masks: also set each gradient mask to the new mask.
    """
    b = Builder(
        "update_masks", "Keep the remove_to most important channels of a space, then grow to grow_to at random."
    )
    seed, updates = words(b, b.feed("key", INT64, [3]), 2)
    spaces = plan.channels.spaces
    counts = [b.parts(b.feed(name, INT64, [len(spaces)]), len(spaces)) for name in (REMOVE_TO, GROW_TO)]
    weights = {name: b.state(name, FLOAT, plan.stored_shape(name), Role.PARAMETER) for name in plan.weights}
    totals = _importance(b, plan, weights, alpha, beta)
    unit_keys = b.parts(numbered(b, len(spaces), chained(b, seed, Stream.GROW, updates)), len(spaces))
    places = {}
    for space, remove_to, grow_to, unit_key in zip(spaces, *counts, unit_keys, strict=True):
        places[space.name] = _update(b, plan, space, totals[space.name], remove_to, grow_to, unit_key)
    growth = Growth(b, plan, chained(b, seed, Stream.INIT, updates), fan_in)
    mover = _Mover(b, plan, places, growth, gradient_masks)
    for name, role in roles.items():
        with b.scope(name):
            value = weights[name] if name in weights else b.state(name, FLOAT, plan.stored_shape(name), role)
            mover.move(name, value, optimizer_states.get(name, ()))
    return b.model()


def _importance(
    b: Builder, plan: ChannelPlan, weights: Mapping[str, ir.Value], alpha: float, beta: float
) -> dict[str, ir.Value]:
    """CWI summed over the weights that read each place: float32 [K] by space.

    Not over those that make it: a grown unit's are fresh and large, and would push out a unit that has learned. A space
    that no weight reads is of no use, and all its places are equal.
    """
    parts: dict[str, list[ir.Value]] = {space.name: [] for space in plan.channels.spaces}
    body = b.body("importance", (), lambda inner: _weigh(inner, alpha, beta))
    for name, weight in weights.items():
        with b.scope(name):
            layer = MaskedLayer(name, plan.stored_shape(name))
            (values,) = b.call(body, (weight, *gradients(b, layer)), f"{name}.importance")
            _add_sums(b, plan, layer, values, parts)
    return {
        space: _sum(b, found) if found else b.op.Expand(0.0, [plan.capacity(space)]) for space, found in parts.items()
    }


def _add_sums(
    b: Builder, plan: ChannelPlan, layer: MaskedLayer, values: ir.Value, parts: Mapping[str, list[ir.Value]]
) -> None:
    """Add to the parts of each space the sums of a weight's elements by place, along the axes that read the space."""
    for axis, segments in plan.channels.reading(layer.name).items():
        others = [a for a in range(len(layer.shape)) if a != axis]
        along = b.op.ReduceSum(values, others, keepdims=0) if others else values
        for one in (s for s in plan.compact(segments) if s.space is not None):
            parts[str(one.space)].append(sums_of_units(b, along, one))


def _weigh(b: Builder, alpha: float, beta: float) -> None:
    """The function that computes the importance of the elements of a weight of any shape."""
    layer = MaskedLayer("W", (1,))
    weight = b.feed(layer.name, FLOAT, layer.shape)
    b.result("importance", importance_of(b, layer, weight, alpha, beta), FLOAT, layer.shape)


def _sum(b: Builder, parts: Sequence[ir.Value]) -> ir.Value:
    total = parts[0]
    for part in parts[1:]:
        total = b.op.Add(total, part)
    return total


def _update(
    b: Builder,
    plan: ChannelPlan,
    space: Space,
    importance: ir.Value,
    remove_to: ir.Value,
    grow_to: ir.Value,
    unit_key: ir.Value,
) -> Places:
    """Choose the units of a space and give them places; writes its index and live flags."""
    size, capacity = space.size, plan.capacity(space.name)
    body = b.body("update_space", (size, capacity), lambda inner: _update_space(inner, size, capacity))
    index = b.state(index_name(space.name), INT64, [capacity], Role.CHANNEL)
    live = b.state(live_name(space.name), FLOAT, [capacity], Role.CHANNEL)
    arguments = (importance, remove_to, grow_to, unit_key, index, live)
    new_index, new_live, carried, grown, kept, *source = b.call(body, arguments, f"{space.name}.update_space")
    b.result(f"{index_name(space.name)}{NEXT}", new_index, INT64, [capacity])
    b.result(f"{live_name(space.name)}{NEXT}", new_live, FLOAT, [capacity])
    return Places(new_index, source[0] if source else None, carried, grown, kept)


def _update_space(b: Builder, size: int, capacity: int) -> None:
    """The function of all spaces of this size and capacity."""
    op, moves = b.op, capacity < size
    importance = b.feed("importance", FLOAT, [capacity])
    remove_to, grow_to = (op.Squeeze(b.feed(name, INT64, [1])) for name in (REMOVE_TO, GROW_TO))
    unit_key, index = b.feed("unit_key", UINT32, [1]), b.feed("index", INT64, [capacity])
    live = op.Greater(b.feed("live", FLOAT, [capacity]), 0.0)
    if moves:
        nothing = op.Expand(0.0, [size])
        importance = op.ScatterElements(nothing, index, importance, axis=0)
        live = op.ScatterElements(b.cast(nothing, BOOL), index, live, axis=0)
    stays = stays_after_removal(b, live, importance, remove_to)
    after = grow_at_random(b, stays, op.Min(grow_to, capacity), unit_key)
    places = _moved(b, index, stays, after, capacity, size) if moves else _unmoved(b, index, stays, after)
    b.result("new_index", places.index, INT64, [capacity])
    b.result("new_live", b.cast(places.kept, FLOAT), FLOAT, [capacity])
    for name in ("carried", "grown", "kept"):
        b.result(name, getattr(places, name), BOOL, [capacity])
    if places.source is not None:
        b.result("source", places.source, INT64, [capacity])


def _unmoved(b: Builder, index: ir.Value, stays: ir.Value, after: ir.Value) -> Places:
    grown = b.op.And(after, b.op.Not(stays))
    return Places(b.op.Identity(index), None, stays, grown, after)


def _moved(b: Builder, index: ir.Value, stays: ir.Value, after: ir.Value, capacity: int, size: int) -> Places:
    op = b.op
    with b.scope("places"):
        others = op.Reshape(op.NonZero(op.Not(after)), [-1])
        room = op.Sub(capacity, b.count(after))
        padding = op.Slice(others, [0], op.Reshape(room, [1]))
        chosen = flags(b, after, padding)
        new_index = op.Reshape(op.NonZero(chosen), [capacity])
        # A unit that had no place comes from place 0, and its flags say that nothing is carried.
        place_of = op.ScatterElements(op.Expand(0, [size]), index, op.Range(0, capacity, 1), axis=0)
        source, kept = op.Gather(place_of, new_index), op.Gather(after, new_index)
        carried = op.Gather(stays, new_index)
        return Places(new_index, source, carried, op.And(kept, op.Not(carried)), kept)


class _Mover:
    """Writes the next value of every tensor on the spaces' axes; nodes of an axis serve all tensors on it."""

    def __init__(
        self, b: Builder, plan: ChannelPlan, places: Mapping[str, Places], growth: Growth, gradient_masks: bool
    ) -> None:
        self._b, self._plan, self._places, self._growth = b, plan, places, growth
        self._gradient_masks = gradient_masks
        self._made: dict[tuple[str, tuple[Segment, ...]], ir.Value] = {}

    def move(self, name: str, value: ir.Value, states: Sequence[str]) -> None:
        """The next value of a tensor, of its optimizer states, and of a weight's masks."""
        b, plan = self._b, self._plan
        axes, shape = plan.channels.axes[name], plan.stored_shape(name)
        carried = self._every_axis(name, "carried")
        kept = b.op.Where(carried, self._gathered(name, value), self._fill(name))
        if name in plan.weights and plan.channels.produced.get(name) in axes:
            kept = self._grown_rows(name, kept)
        b.result(f"{name}.next", kept, FLOAT, shape)
        for state_name in states:
            state = b.state(state_name, FLOAT, shape, Role.OPTIMIZER)
            b.result(f"{state_name}.next", b.op.Where(carried, self._gathered(name, state), 0.0), FLOAT, shape)
        if name in plan.weights:
            self._mask(name)

    def _mask(self, name: str) -> None:
        """The next masks of a weight: the outer product of the kept flags of its axes."""
        b, shape = self._b, self._plan.stored_shape(name)
        mask = b.cast(b.op.Expand(self._every_axis(name, "kept"), list(shape)), FLOAT)
        b.result(f"{mask_name(name)}.next", mask, FLOAT, shape)
        if self._gradient_masks:
            b.result(f"{gradient_mask_name(name)}.next", mask, FLOAT, shape)

    def _gathered(self, name: str, value: ir.Value) -> ir.Value:
        for axis, segments in self._plan.channels.axes[name].items():
            if any(s.space is not None and self._places[s.space].source is not None for s in segments):
                value = self._b.op.Gather(value, self._axis("source", segments), axis=axis)
        return value

    def _fill(self, name: str) -> ir.Value | float:
        """The values of elements that were not carried: a grown unit's first value, and 0 for padding."""
        fill = self._plan.channels.fills.get(name, 0.0)
        if fill == 0.0:
            return 0.0
        return self._b.op.Mul(self._b.cast(self._every_axis(name, "kept"), FLOAT), float(fill))

    def _grown_rows(self, name: str, value: ir.Value) -> ir.Value:
        plan = self._plan
        axes, produced = plan.channels.axes[name], plan.channels.produced[name]
        indices = {axis: self._axis("index", segments) for axis, segments in axes.items()}
        inputs = {axis: self._axis("carried", segments) for axis, segments in axes.items() if axis != produced}
        return self._growth.rows(name, value, self._axis("grown", axes[produced]), indices, inputs)

    def _every_axis(self, name: str, flag: str) -> ir.Value:
        """Flags of the elements whose flags are set on all axes: bool, broadcasts to the tensor."""
        rank = len(self._plan.shapes[name])
        axes = self._plan.channels.axes[name].items()
        parts = [along_axis(self._b, self._axis(flag, segments), axis, rank) for axis, segments in axes]
        both = parts[0]
        for part in parts[1:]:
            both = self._b.op.And(both, part)
        return both

    def _axis(self, what: str, segments: tuple[Segment, ...]) -> ir.Value:
        """A field of the places (``index``, ``source``, ``carried``, ...) for every element of an axis."""
        if (what, segments) not in self._made:
            self._made[what, segments] = self._make(what, segments)
        return self._made[what, segments]

    def _make(self, what: str, segments: tuple[Segment, ...]) -> ir.Value:
        b, stored = self._b, self._plan.compact(segments)
        if what == "index":
            return element_indices(b, stored, segments, lambda space: self._places[space].index)
        if what == "source":
            return element_indices(b, stored, stored, self._source)
        return element_flags(b, stored, lambda space: getattr(self._places[space], what))

    def _source(self, space: str) -> ir.Value:
        source = self._places[space].source
        return self._b.op.Range(0, self._plan.capacity(space), 1) if source is None else source
