"""The way of an activation into [C, H, W, N] and back, by its rank: features, tokens of features, images.

The tokens are the width. They and the batch change places in one Transpose, and move behind the features in another,
each a copy of blocks. A Reshape between them keeps ONNX Runtime from making one Transpose of both, which reverses three
axes element by element and takes five times as long.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.values import constant
from sparcl_compile.passes.lowering.batch_last.forms import BATCH_FIRST, BATCH_LAST, Length, lengths_of

PLANE = (1, 2)
"""The axes that a vector of features lacks."""
UNKNOWN = ir.SymbolicDim(None)
"""The length of tokens and batch together."""


class Mover:
    """Inserts the nodes of one layer's way in or out."""

    def __init__(self, graph: ir.Graph, add: Inserter) -> None:
        """Insert into ``graph`` with ``add``."""
        self._graph, self._add = graph, add

    def transpose(self, part: str, value: ir.Value, order: Sequence[int]) -> ir.Value:
        """The axes in another order."""
        lengths = lengths_of(value)
        return self._add(part, "Transpose", [value], [lengths[axis] for axis in order], perm=order)

    def reshape(self, part: str, value: ir.Value, shape: list[Length]) -> ir.Value:
        """Another shape, in which one length may be symbolic."""
        target = [length if isinstance(length, int) else -1 for length in shape]
        name = "_".join(["compress.shape", *map(str, target)])
        return self._add(part, "Reshape", [value, constant(self._graph, name, np.array(target, np.int64))], shape)

    def with_plane(self, part: str, op_type: str, value: ir.Value, shape: list[Length]) -> ir.Value:
        """A vector's plane of one place, put in or taken out."""
        axes = constant(self._graph, "compress.plane", np.array(PLANE, np.int64))
        return self._add(part, op_type, [value, axes], shape)


def _enter_features(mover: Mover, x: ir.Value) -> ir.Value:
    moved = mover.transpose("batch_last", x, (1, 0))
    features, batch = lengths_of(moved)
    return mover.with_plane("plane", "Unsqueeze", moved, [features, 1, 1, batch])


def _leave_features(mover: Mover, y: ir.Value) -> ir.Value:
    flat = mover.with_plane("flat", "Squeeze", y, [lengths_of(y)[0], lengths_of(y)[3]])
    return mover.transpose("batch_first", flat, (1, 0))


def _enter_tokens(mover: Mover, x: ir.Value) -> ir.Value:
    batch, tokens, features = lengths_of(x)
    rows = mover.reshape("rows", mover.transpose("tokens_first", x, (1, 0, 2)), [UNKNOWN, features])
    return mover.reshape("plane", mover.transpose("batch_last", rows, (1, 0)), [features, 1, tokens, batch])


def _leave_tokens(mover: Mover, y: ir.Value) -> ir.Value:
    features, _, tokens, batch = lengths_of(y)
    columns = mover.reshape("columns", y, [features, UNKNOWN])
    rows = mover.reshape("flat", mover.transpose("features_last", columns, (1, 0)), [tokens, batch, features])
    return mover.transpose("batch_first", rows, (1, 0, 2))


Way = Callable[[Mover, ir.Value], ir.Value]

ENTER: Mapping[int, Way] = {
    2: _enter_features,
    3: _enter_tokens,
    4: lambda mover, x: mover.transpose("batch_last", x, BATCH_LAST),
}
"""Into the layout, by rank."""

LEAVE: Mapping[int, Way] = {
    2: _leave_features,
    3: _leave_tokens,
    4: lambda mover, y: mover.transpose("batch_first", y, BATCH_FIRST),
}
"""Back again."""
