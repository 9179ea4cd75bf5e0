"""Data movement said in Reshape, Transpose, Slice, Gather and MatMul."""

import string
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.edit import (
    array_of,
    int_attribute,
    is_read,
    lengths_from,
    set_array,
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


PAD_MODES = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}


def pad(e: Inserter, node: ir.Node) -> ir.Value | None:
    """Pad by reflection or repetition as a Gather of the padded indices, axis by axis."""
    mode, pads, lengths = (
        string_attribute(node, "mode", "constant"),
        array_of(node.inputs[1]),
        lengths_of(node.inputs[0]),
    )
    if mode not in PAD_MODES or pads is None or lengths is None or len(node.inputs) > 3:
        return None
    before, after = np.split(pads, 2)
    value: ir.Value | None = node.inputs[0]
    if before[0] or after[0] or min(pads) < 0:
        return None
    for axis, length in enumerate(lengths, start=1):
        if before[axis] or after[axis]:
            indices = np.pad(np.arange(length), (int(before[axis]), int(after[axis])), mode=PAD_MODES[mode])  # type: ignore[call-overload]
            value = e.op("Gather", value, e.ints("indices", list(indices)), axis=axis)
    return value


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
    if any(array is None for array in extra) or "axes" in node.attributes:
        return None
    value: ir.Value | None = node.inputs[0]
    for axis in range(1, len(before)):
        if before[axis] != after[axis]:
            value = along_axis(e, value, axis + 1, len(before) + 1, interpolation(node, axis + 1, before, after))
    return value


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


def einsum(e: Inserter, node: ir.Node) -> ir.Value | None:
    """Einsum of two operands as one MatMul between transposed and reshaped operands.

    Letters in both operands and the result are the batch of the product, letters in both operands alone are summed.
    Repeated letters and letters that one operand sums alone are left alone.
    """
    equation = spelled_out(string_attribute(node, "equation", "").replace(" ", ""), node.inputs)
    terms, _, result = equation.partition("->")
    left, _, right = terms.partition(",")
    letters = [left, right, result]
    if len(node.inputs) != 2 or "->" not in equation or not all(t.isalpha() and len(set(t)) == len(t) for t in letters):
        return None
    both = [c for c in left if c in right and c in result]
    summed = [c for c in left if c in right and c not in result]
    rows = [c for c in left if c not in right]
    columns = [c for c in right if c not in left]
    if not set(rows + columns) <= set(result) or not set(result) <= set(left + right):
        return None
    sizes = {**letter_sizes(node.inputs[1], right), **letter_sizes(node.inputs[0], left)}
    if len(sizes) < len(set(left + right)) or [c for c in sizes.values()].count(-1) > 1:
        return None
    first, second = node.inputs
    if -1 in [sizes[c] for c in columns]:  # rows of the batch stay rows of the product
        first, second, left, right, rows, columns = second, first, right, left, columns, rows
    one = ordered(e, first, left, both, rows, summed, sizes)
    two = ordered(e, second, right, both, summed, columns, sizes)
    product = e.op("MatMul", one, two)
    have = both + rows + columns
    shaped = e.op("Reshape", product, e.ints("result", [sizes[c] for c in have]))
    return e.op("Transpose", shaped, perm=[have.index(c) for c in result])


def spelled_out(equation: str, operands: Sequence[ir.Value | None]) -> str:
    """An equation with letters in the place of its ellipses, where the number of axes is known."""
    terms, arrow, result = equation.partition("->")
    parts = terms.split(",")
    if "..." not in equation or any(value is None or value.shape is None for value in operands):
        return equation
    ranks = [len(value.shape) for value in operands]  # type: ignore[union-attr, arg-type]
    counts = [
        rank - len(part.replace("...", "")) if "..." in part else 0 for part, rank in zip(parts, ranks, strict=True)
    ]
    letters = "".join(c for c in string.ascii_letters if c not in equation)[: max(counts)]
    spelled = [part.replace("...", letters[len(letters) - n :]) for part, n in zip(parts, counts, strict=True)]
    return ",".join(spelled) + arrow + result.replace("...", letters)


def letter_sizes(value: ir.Value | None, letters: str) -> dict[str, int]:
    """The length behind each letter, -1 for the batch."""
    if value is None or value.shape is None or len(value.shape) != len(letters):
        return {}
    return {c: d if isinstance(d, int) else -1 for c, d in zip(letters, value.shape, strict=True)}


def ordered(
    e: Inserter,
    value: ir.Value | None,
    letters: str,
    both: list[str],
    rows: list[str],
    columns: list[str],
    sizes: dict[str, int],
) -> ir.Value:
    """An operand as [both..., rows, columns], the last two flattened to one axis each.

    A parameter that nothing else reads is turned where it lies, so that it is a weight that masks go on.
    """
    perm = [letters.index(c) for c in both + rows + columns]
    shape = [sizes[c] for c in both] + [flat([sizes[c] for c in part]) for part in (rows, columns)]
    data = array_of(value)
    if value is not None and data is not None and role_of(value) is Role.PARAMETER and len(list(value.uses())) == 1:
        set_array(value, data.transpose(perm).reshape(shape))
        return value
    turned = value if perm == sorted(perm) else e.op("Transpose", value, perm=perm)
    return e.op("Reshape", turned, e.ints("operand", shape))


def flat(lengths: list[int]) -> int:
    """The length of several axes as one, -1 when the batch is among them."""
    return -1 if -1 in lengths else int(np.prod(lengths, dtype=np.int64))


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
    "Einsum": einsum,
}
