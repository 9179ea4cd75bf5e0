"""The storage of a layer's weights: all of them under a mask, or the kept ones and their positions.

A mask update reads flags and importances of the full weight and gives flags of the full weight; this is the way there
and back, for both forms.
"""

import dataclasses
from collections.abc import Callable, Sequence

import onnx_ir as ir

from sparcl_compile.graphs.builder import BOOL, FLOAT, INT32, INT64, Builder
from sparcl_compile.graphs.masks import MaskedLayer, flat
from sparcl_compile.interface.names import Role, index_name, mask_name, rows_name

Carry = Callable[[ir.Value], ir.Value]
"""Maps a stored tensor before the update to the same tensor after it, 0 where a weight was removed or grown."""


@dataclasses.dataclass(frozen=True)
class Next:
    """The new value of a state tensor."""

    name: str
    value: ir.Value
    dtype: ir.DataType
    shape: Sequence[int]


@dataclasses.dataclass(frozen=True)
class Stored:
    """A layer after the update.

    Attributes:
        state: the tensors that mark the kept weights.
        flags: float32, 1 where the stored tensors hold a kept weight and 0 elsewhere.
        carry: moves a stored tensor.
    """

    state: tuple[Next, ...]
    flags: ir.Value
    carry: Carry


class Masked:
    """All weights, and the state ``W.mask``.

    Attributes:
        kept: bool [n].
    """

    def __init__(self, b: Builder, layer: MaskedLayer) -> None:
        self._b, self._layer = b, layer
        self._mask = b.state(mask_name(layer.name), FLOAT, layer.shape, Role.MASK)
        self.kept = b.op.Greater(flat(b, self._mask), 0.0)

    def full(self, values: ir.Value) -> ir.Value:
        """Stored values as a vector over the full weight: float32 [n]."""
        return self.in_order_of_weight(self.spread(values))

    def spread(self, values: ir.Value) -> ir.Value:
        """Stored values and those of all other weights, in the order in which weights are stored."""
        return values

    def in_order_of_weight(self, values: ir.Value) -> ir.Value:
        """What ``spread`` gives as a vector in the order of the full weight."""
        return flat(self._b, values)

    def after(self, stays: ir.Value, kept: ir.Value) -> Stored:
        """The stored state of the weights that stay and of those kept in the end (bool [n] each)."""
        b, op = self._b, self._b.op
        # Layers of other shapes are computed by the same nodes.
        shape = op.Shape(self._mask)
        mask = op.Reshape(b.cast(kept, FLOAT), shape)
        # Removed or grown; a weight that was removed and grown again in one update starts at zero as well.
        touched = op.Reshape(op.And(op.Not(stays), op.Or(self.kept, kept)), shape)
        state = (Next(mask_name(self._layer.name), mask, FLOAT, self._layer.shape),)
        return Stored(state, mask, lambda values: op.Where(touched, 0.0, values))


class Compressed:
    """The kept weights in K places, and the states ``W.index`` and ``W.rows``; the methods are those of ``Masked``.

    What stands in places beyond the last live one is never read. More kept weights than places are an error of the
    run, from the node that fills up the index: no weight is lost silently.
    """

    def __init__(self, b: Builder, layer: MaskedLayer) -> None:
        self._b, self._layer = b, layer
        index = b.state(index_name(layer.name), INT32, layer.stored, Role.INDEX)
        self._live = live_places(b, layer)
        self._index = self._used(index)
        self.kept = self.in_order_of_weight(self._scatter(b.cast(b.op.Expand(1, self._live), BOOL), BOOL))

    def full(self, values: ir.Value) -> ir.Value:
        """Stored values as a vector over the full weight, 0 where nothing is kept: float32 [n]."""
        return self.in_order_of_weight(self.spread(values))

    def spread(self, values: ir.Value) -> ir.Value:
        """Stored values and 0 for all other weights, in the order of the places: float32 [n]."""
        return self._scatter(self._used(values), FLOAT)

    def in_order_of_weight(self, values: ir.Value) -> ir.Value:
        """Bring values from the order of the places to the weight's own, which differs for [I, O]."""
        return self._turned(values, tuple(reversed(self._layer.shape)))

    def after(self, stays: ir.Value, kept: ir.Value) -> Stored:
        """The stored state of the weights that stay and of those kept in the end (bool [n] each)."""
        b, op, layer = self._b, self._b.op, self._layer
        places, outputs = layer.stored[0], layer.shape[layer.output_axis]
        stays, kept = (self._in_order_of_places(flags) for flags in (stays, kept))
        with b.scope("places"):
            positions = op.Reshape(op.NonZero(kept), [-1])
            live = op.Shape(positions)
            # A negative pad would cut weights off: kept from that, too many fail in the Reshape.
            missing = op.Max(op.Sub(places, live), 0)
            index = op.Reshape(op.Pad(positions, op.Concat([0], missing, axis=0)), [places])
            each = op.ReduceSum(op.Reshape(b.cast(kept, INT32), [outputs, -1]), [1], keepdims=0)
            rows = op.Concat(b.cast(op.Identity([0]), INT32), op.CumSum(each, 0), axis=0)
            flags = first_places(b, layer, live)
        state = (
            Next(index_name(layer.name), b.cast(index, INT32), INT32, [places]),
            Next(rows_name(layer.name), rows, INT32, [outputs + 1]),
        )
        return Stored(state, flags, self._carry(stays, index, flags))

    def _carry(self, stays: ir.Value, index: ir.Value, flags: ir.Value) -> Carry:
        op = self._b.op
        survived = op.And(op.Gather(stays, index), op.Greater(flags, 0.0))
        return lambda values: op.Where(survived, op.Gather(self.spread(values), index), 0.0)

    def _in_order_of_places(self, values: ir.Value) -> ir.Value:
        return self._turned(values, self._layer.shape)

    def _turned(self, values: ir.Value, shape: tuple[int, ...]) -> ir.Value:
        if self._layer.output_axis == 0:
            return values
        return flat(self._b, self._b.op.Transpose(self._b.op.Reshape(values, list(shape)), perm=[1, 0]))

    def _used(self, values: ir.Value) -> ir.Value:
        return self._b.op.Slice(values, [0], self._live)

    def _scatter(self, values: ir.Value, dtype: ir.DataType) -> ir.Value:
        b, op = self._b, self._b.op
        # ONNX Runtime would compute constant zeros when it loads the graph, and keep a full tensor a layer for good.
        zero = b.cast(op.Less(self._live, 0), dtype)
        return op.ScatterElements(op.Expand(zero, [self._layer.size]), self._index, values, axis=0)


def live_places(b: Builder, layer: MaskedLayer) -> ir.Value:
    """Add the state ``W.rows`` of a compressed layer; how many of its places hold a weight: int64 [1]."""
    outputs = layer.shape[layer.output_axis]
    rows = b.state(rows_name(layer.name), INT32, [outputs + 1], Role.INDEX)
    return b.cast(b.op.Slice(rows, [outputs], [outputs + 1]), INT64)


def first_places(b: Builder, layer: MaskedLayer, live: ir.Value) -> ir.Value:
    """1 in the first ``live`` (int64 [1]) places of a compressed layer and 0 in the others: float32 [K]."""
    op = b.op
    padding = op.Concat([0], op.Sub(layer.stored[0], live), axis=0)
    return op.Reshape(op.Pad(op.Expand(1.0, live), padding), list(layer.stored))


def at_places(b: Builder, layer: MaskedLayer, values: ir.Value) -> ir.Value:
    """Of the values of all weights of a compressed layer, in the order of the places, those that have a place.

    They are float32 [K]; padding repeats one of them. Adds the state ``W.index``.
    """
    return b.op.Gather(values, b.state(index_name(layer.name), INT32, layer.stored, Role.INDEX))


def storage(b: Builder, layer: MaskedLayer) -> Masked | Compressed:
    """Add the states that say which weights of a layer are kept."""
    return Masked(b, layer) if layer.places is None else Compressed(b, layer)
