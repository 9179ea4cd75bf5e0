"""The first weights of a grown channel."""

import math
from collections.abc import Mapping

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, UINT32, Builder
from sparcl_compile.graphs.channel_axes import along_axis
from sparcl_compile.graphs.hash import murmur3, numbered
from sparcl_compile.passes.analysis.channels.plan import ChannelPlan

FRACTION_BITS = 24
"""A float32 holds so many bits exactly."""


class Growth:
    """Draws the incoming weights of grown units from the stream ``init`` (docs/algorithm.md, Channels).

    A unit with neither incoming nor outgoing weights never gets a gradient. So it starts with incoming weights from
    [-b, b), b = sqrt(6 / fan_in) (He et al., ICCV 2015), and outgoing weights 0: the function of the network is the
    same, and the first step moves the outgoing ones.
    """

    def __init__(self, b: Builder, plan: ChannelPlan, key: ir.Value, fan_in: Mapping[str, int]) -> None:
        """``key`` is the stream's key after the number of mask updates."""
        self._b, self._plan, self._fan_in = b, plan, fan_in
        self._keys = b.parts(numbered(b, len(plan.weights), key), len(plan.weights))

    def rows(
        self,
        name: str,
        value: ir.Value,
        grown: ir.Value,
        indices: Mapping[int, ir.Value],
        carried: Mapping[int, ir.Value],
    ) -> ir.Value:
        """Fill the rows of the grown units of a masked weight.

        Args:
            name: the weight.
            value: it, with 0 where nothing was carried.
            grown: flags of the elements along the axis that it produces, bool.
            indices: by axis with channels the full index of each element, int64.
            carried: by the other axes with channels, flags of the elements that take part as inputs, bool.

        Returns:
            The weight; element i is drawn by its flat index in the *full* weight, so folded and masked form agree.
        """
        b, op = self._b, self._b.op
        axis, shape = self._plan.channels.produced[name], self._plan.stored_shape(name)
        rank = len(shape)
        rows = op.Reshape(op.NonZero(grown), [-1])
        places = {**indices, axis: op.Gather(indices[axis], rows)}
        fresh = self._uniform(name, self._flat_index(name, places))
        for other, flags in carried.items():
            fresh = op.Where(along_axis(b, flags, other, rank), fresh, 0.0)
        target = op.Expand(along_axis(b, rows, axis, rank), op.Shape(fresh))
        return op.ScatterElements(value, target, fresh, axis=axis)

    def _flat_index(self, name: str, places: Mapping[int, ir.Value]) -> ir.Value:
        b, op, full = self._b, self._b.op, self._plan.shapes[name]
        rank, total = len(full), None
        for axis, size in enumerate(full):
            numbers = places.get(axis)
            numbers = op.Range(0, size, 1) if numbers is None else numbers
            part = along_axis(b, op.Mul(numbers, math.prod(full[axis + 1 :])), axis, rank)
            total = part if total is None else op.Add(total, part)
        if total is None:
            raise ValueError(f"weight {name} has no axes")
        return total

    def _uniform(self, name: str, index: ir.Value) -> ir.Value:
        seed = self._keys[self._plan.weights.index(name)]
        (unit,) = self._b.call(self._b.body("uniform", (), _uniform), (index, seed), f"{name}.uniform")
        return self._b.op.Mul(unit, math.sqrt(6.0 / self._fan_in[name]))


def _uniform(b: Builder) -> None:
    """The function that draws numbers in [-1, 1): float32 of the shape of ``index`` (int64)."""
    op, index, seed = b.op, b.feed("index", INT64, [1]), b.feed("seed", UINT32, [1])
    bits = op.BitShift(murmur3(b, b.cast(index, UINT32), seed), 32 - FRACTION_BITS, direction="RIGHT")
    # Both factors are powers of two, so the number is exact and only its product with the bound rounds.
    unit = op.Sub(op.Mul(b.cast(bits, FLOAT), 2.0 ** (1 - FRACTION_BITS)), 1.0)
    b.result("unit", unit, FLOAT, [1])
