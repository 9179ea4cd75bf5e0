"""Data movement said in Reshape, Transpose, Slice, Gather and MatMul."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.edit import (
    array_of,
    int_attribute,
    ints_attribute,
    is_read,
    lengths_from,
    string_attribute,
)
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.core.worlds import evaluate


def lengths_of(value: ir.Value | None) -> list[int] | None:
    """The lengths of all axes but the batch, None unless known."""
    return lengths_from(value, 1)


def depth_to_space(e: Inserter, node: ir.Node) -> ir.Value | None:
    """DepthToSpace in both modes."""
    lengths = lengths_of(node.inputs[0])
    if lengths is None:
        return None
    channels, height, width = lengths
    block = int_attribute(node, "blocksize", 1)
    deep = channels // block**2
    crd = string_attribute(node, "mode", "DCR") == "CRD"
    split = [-1, deep, block, block, height, width] if crd else [-1, block, block, deep, height, width]
    perm = [0, 1, 4, 2, 5, 3] if crd else [0, 3, 4, 1, 5, 2]
    parts = e.op("Transpose", e.op("Reshape", node.inputs[0], e.ints("split", split)), perm=perm)
    return e.op("Reshape", parts, e.ints("join", [-1, deep, height * block, width * block]))


def space_to_depth(e: Inserter, node: ir.Node) -> ir.Value | None:
    """SpaceToDepth."""
    lengths = lengths_of(node.inputs[0])
    if lengths is None:
        return None
    channels, height, width = lengths
    block = int_attribute(node, "blocksize", 1)
    split = [-1, channels, height // block, block, width // block, block]
    parts = e.op("Transpose", e.op("Reshape", node.inputs[0], e.ints("split", split)), perm=[0, 3, 5, 1, 2, 4])
    return e.op("Reshape", parts, e.ints("join", [-1, channels * block**2, height // block, width // block]))


def split(e: Inserter, node: ir.Node) -> ir.Value | None:
    """Split with an unread output as Slices: the gradient builder forgets the unread part."""
    if all(is_read(value) for value in node.outputs):
        return None
    axis = int_attribute(node, "axis", 0)
    start, last = 0, None
    for value in node.outputs:
        if value.shape is None or not isinstance(value.shape[axis], int):
            return None
    for value in list(node.outputs):
        length = int(value.shape[axis])  # type: ignore[index, arg-type]
        if is_read(value):
            bounds = (e.ints("start", [start]), e.ints("end", [start + length]), e.ints("axis", [axis]))
            part = e.op("Slice", node.inputs[0], *bounds)
            part.shape, part.type = value.shape, value.type
            value.replace_all_uses_with(part, replace_graph_outputs=True)
            last = part
        start += length
    return last


def slice_backwards(e: Inserter, node: ir.Node) -> ir.Value | None:
    """Slice with a negative step as a Gather of the same indices, axis by axis."""
    bounds = [array_of(value) for value in node.inputs[1:]]
    lengths = lengths_of(node.inputs[0])
    if len(bounds) < 4 or lengths is None or any(b is None for b in bounds) or np.all(bounds[3] > 0):  # type: ignore[operator]
        return None
    value: ir.Value | None = node.inputs[0]
    for start, end, axis, step in np.stack(bounds, axis=1):  # type: ignore[arg-type]
        place = int(axis) % (len(lengths) + 1)
        if place == 0:
            return None
        length = lengths[place - 1]
        indices = np.arange(length)[slice(int(start), int(end) if end >= -length else None, int(step))]
        value = e.op("Gather", value, e.ints("indices", list(indices)), axis=place)
    return value


COPIES = ("reflect", "edge")
"""Modes of a Pad that repeat what is there, beside ``wrap``."""


def pad(e: Inserter, node: ir.Node) -> ir.Value | None:
    """Pad by reflection or repetition as a Gather of the padded indices, axis by axis."""
    mode, lengths = string_attribute(node, "mode", "constant"), lengths_of(node.inputs[0])
    if mode == "wrap":
        return wrapped(e, node)
    margins = None if lengths is None else margins_of(node, len(lengths) + 1)
    if mode not in COPIES or margins is None or lengths is None or 0 in margins:
        return None
    value: ir.Value | None = node.inputs[0]
    for axis, margin in sorted(margins.items()):
        indices = np.pad(np.arange(lengths[axis - 1]), margin, mode=mode)  # type: ignore[call-overload]
        value = e.op("Gather", value, e.ints("indices", list(indices)), axis=axis)
    return value


def wrapped(e: Inserter, node: ir.Node) -> ir.Value | None:
    """Pad that goes on at the other end, which opset 18 lacks: the ends are sliced off and joined."""
    x = node.inputs[0]
    margins = None if x is None or x.shape is None else margins_of(node, len(x.shape))
    if not margins:
        return None
    value = x
    for axis, (before, after) in sorted(margins.items()):
        place = e.ints("axis", [axis])
        front = [e.op("Slice", value, e.ints("start", [-before]), e.ints("end", [END]), place)] if before else []
        back = [e.op("Slice", value, e.ints("start", [0]), e.ints("end", [after]), place)] if after else []
        value = e.op("Concat", *front, value, *back, axis=axis)
    return value


def margins_of(node: ir.Node, rank: int) -> dict[int, tuple[int, int]] | None:
    """What a Pad puts before and behind each axis that it pads; None where that is unknown or takes something away."""
    pads, axes = constant_of(node, 1), constant_of(node, 3)
    if pads is None or (axes is None and len(node.inputs) > 3) or min(pads, default=0) < 0:
        return None
    places = range(rank) if axes is None else [int(axis) % rank for axis in axes]
    before, after = np.split(pads, 2)
    found = {axis: (int(one), int(other)) for axis, one, other in zip(places, before, after, strict=True)}
    return {axis: margin for axis, margin in found.items() if any(margin)}


def constant_of(node: ir.Node, slot: int) -> np.ndarray | None:
    """The flat content of an input that is an initializer, or still a Constant node."""
    value = node.inputs[slot] if slot < len(node.inputs) else None
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else np.asarray(tensor.numpy()).reshape(-1)


END = int(np.iinfo(np.int64).max)
SIZES = 3
"""The number of the input of a Resize with the lengths of the result, which are known when the batch is not."""


def resize(e: Inserter, node: ir.Node) -> ir.Value | None:
    """Resize as a product with a constant interpolation matrix along each spatial axis.

    The matrix is what Resize itself makes of the identity, so every mode and coordinate rule comes out right.
    """
    before, after = lengths_of(node.inputs[0]), lengths_of(node.outputs[0])
    if before is None or after is None or before[0] != after[0] or len(before) != len(after):
        return None
    extra = [array_of(value) for value in node.inputs[1:3] if value is not None]
    if any(array is None for array in extra) or not spread(e, node, len(before) + 1):
        return None
    value: ir.Value | None = node.inputs[0]
    for axis in range(1, len(before)):
        if before[axis] != after[axis]:
            value = along_axis(e, value, axis + 1, len(before) + 1, interpolation(node, axis + 1, before, after))
    return value


def spread(e: Inserter, node: ir.Node, rank: int) -> bool:
    """Let a Resize of some axes name all of them; returns whether it does now."""
    axes = [axis % rank for axis in ints_attribute(node, "axes", [])]
    if not axes:
        return True
    scales, sizes = array_of(node.inputs[2]) if len(node.inputs) > 2 else None, len(node.inputs) > SIZES
    region = array_of(node.inputs[1])
    whole = np.repeat([0.0, 1.0], rank).astype(np.float32), np.ones(rank, np.float32)
    if region is not None and region.size:
        whole[0][[*axes, *(axis + rank for axis in axes)]] = region
        node.replace_input_with(1, e.const("region", whole[0]))
    if scales is not None and scales.size:
        whole[1][axes] = scales
        node.replace_input_with(2, e.const("scales", whole[1]))
    elif not sizes:
        return False
    node.attributes.pop("axes")
    return True


def interpolation(node: ir.Node, axis: int, before: list[int], after: list[int]) -> np.ndarray:
    """The matrix [after, before] of a Resize along one axis."""
    length, rank = before[axis - 1], len(before) + 1
    identity = np.eye(length, dtype=np.float32).reshape([length, *[1] * (axis - 1), length, *[1] * (rank - axis - 1)])
    names = [str(value.name) if value is not None else "" for value in node.inputs]
    feeds: dict[str, np.ndarray | None] = {names[0]: identity}
    for place, (value, name) in enumerate(zip(node.inputs[1:], names[1:], strict=True), start=1):
        array = np.asarray([1, *after]) if place == SIZES and value is not None else array_of(value)
        if array is None:
            continue
        keep = np.ones_like(array) if array.size == rank else array
        if array.size == rank:
            keep[axis] = array[axis]
            keep[0] = length if place == SIZES else 1
        feeds[name] = keep
    return np.asarray(evaluate(node, feeds)[0]).reshape(length, after[axis - 1]).T


def cumulative_sum(e: Inserter, node: ir.Node) -> ir.Value | None:
    """CumSum as a product with a constant triangular matrix."""
    axis, lengths = array_of(node.inputs[1]), lengths_of(node.inputs[0])
    if axis is None or lengths is None or int(axis.reshape(-1)[0]) % (len(lengths) + 1) == 0:
        return None
    place = int(axis.reshape(-1)[0]) % (len(lengths) + 1)
    ones = np.ones([lengths[place - 1]] * 2, np.float32)
    matrix = np.tril(ones, -1 if int_attribute(node, "exclusive", 0) else 0)
    if int_attribute(node, "reverse", 0):
        matrix = matrix[::-1, ::-1]
    return along_axis(e, node.inputs[0], place, len(lengths) + 1, matrix)


def along_axis(e: Inserter, x: ir.Value | None, axis: int, rank: int, matrix: np.ndarray) -> ir.Value:
    """The matrix times x along one axis."""
    if axis == rank - 1:
        return e.op("MatMul", x, e.const("resize", matrix.T))
    if axis == rank - 2:
        return e.op("MatMul", e.const("resize", matrix), x)
    perm = [i for i in range(rank) if i != axis] + [axis]
    moved = e.op("MatMul", e.op("Transpose", x, perm=perm), e.const("resize", matrix.T))
    return e.op("Transpose", moved, perm=list(np.argsort(perm)))


def where(e: Inserter, node: ir.Node) -> ir.Value | None:
    """Where as sum of masked branches when a branch that broadcasts needs a gradient."""
    condition, *branches = node.inputs
    trained = [b for b in branches if b is not None and (not b.is_initializer() or role_of(b) is Role.PARAMETER)]
    out = node.outputs[0].shape
    if node.outputs[0].dtype is not ir.DataType.FLOAT or out is None or all(b.shape == out for b in trained):
        return None
    chosen = e.op("Cast", condition, to=ir.DataType.FLOAT)
    other = e.op("Sub", e.const("one", 1.0), chosen)
    return e.op("Add", e.op("Mul", chosen, branches[0]), e.op("Mul", other, branches[1]))


def matmul(e: Inserter, node: ir.Node) -> ir.Value | None:
    """MatMul with a vector on the right: the vector becomes a matrix of one column."""
    right = node.inputs[1]
    if right is None or right.shape is None or len(right.shape) != 1:
        return None
    product = e.op("MatMul", node.inputs[0], e.op("Unsqueeze", right, e.ints("column", [1])))
    return e.op("Squeeze", product, e.ints("last", [-1]))


REWRITES: dict[str, Callable[[Inserter, ir.Node], ir.Value | None]] = {
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Slice": slice_backwards,
    "Pad": pad,
    "Resize": resize,
    "CumSum": cumulative_sum,
    "Where": where,
    "MatMul": matmul,
}
