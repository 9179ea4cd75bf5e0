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


def _transpose(insert: Inserter, part: str, value: ir.Value, order: Sequence[int]) -> ir.Value:
    lengths, name = lengths_of(value), f"{insert.place.name}.{part}"
    return insert.op("Transpose", value, name=name, shape=[lengths[axis] for axis in order], perm=order)


def _reshape(insert: Inserter, part: str, value: ir.Value, shape: list[Length]) -> ir.Value:
    """Another shape, in which one length may be symbolic."""
    lengths = [length if isinstance(length, int) else -1 for length in shape]
    name = "_".join(["compress.shape", *map(str, lengths)])
    target = constant(insert.graph, name, np.array(lengths, np.int64))
    return insert.op("Reshape", value, target, name=f"{insert.place.name}.{part}", shape=shape)


def _with_plane(insert: Inserter, part: str, op_type: str, value: ir.Value, shape: list[Length]) -> ir.Value:
    """The plane of one place that a vector of features lacks, put in or taken out."""
    axes = constant(insert.graph, "compress.plane", np.array(PLANE, np.int64))
    return insert.op(op_type, value, axes, name=f"{insert.place.name}.{part}", shape=shape)


def _enter_features(insert: Inserter, x: ir.Value) -> ir.Value:
    moved = _transpose(insert, "batch_last", x, (1, 0))
    features, batch = lengths_of(moved)
    return _with_plane(insert, "plane", "Unsqueeze", moved, [features, 1, 1, batch])


def _leave_features(insert: Inserter, y: ir.Value) -> ir.Value:
    flat = _with_plane(insert, "flat", "Squeeze", y, [lengths_of(y)[0], lengths_of(y)[3]])
    return _transpose(insert, "batch_first", flat, (1, 0))


def _enter_tokens(insert: Inserter, x: ir.Value) -> ir.Value:
    batch, tokens, features = lengths_of(x)
    rows = _reshape(insert, "rows", _transpose(insert, "tokens_first", x, (1, 0, 2)), [UNKNOWN, features])
    return _reshape(insert, "plane", _transpose(insert, "batch_last", rows, (1, 0)), [features, 1, tokens, batch])


def _leave_tokens(insert: Inserter, y: ir.Value) -> ir.Value:
    features, _, tokens, batch = lengths_of(y)
    columns = _reshape(insert, "columns", y, [features, UNKNOWN])
    rows = _reshape(insert, "flat", _transpose(insert, "features_last", columns, (1, 0)), [tokens, batch, features])
    return _transpose(insert, "batch_first", rows, (1, 0, 2))


Way = Callable[[Inserter, ir.Value], ir.Value]

ENTER: Mapping[int, Way] = {
    2: _enter_features,
    3: _enter_tokens,
    4: lambda insert, x: _transpose(insert, "batch_last", x, BATCH_LAST),
}
"""Into the layout, by rank."""

LEAVE: Mapping[int, Way] = {
    2: _leave_features,
    3: _leave_tokens,
    4: lambda insert, y: _transpose(insert, "batch_first", y, BATCH_FIRST),
}
"""Back again."""
