"""Einsum said in a product."""

import string
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.edit import array_of, set_array, string_attribute
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.roles import role_of

TURNED = "sparcl.turned"
"""Key in a weight's ``meta``: the shape that it had for an Einsum, before it was turned for a product."""


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
    one = ordered(e, node, first, left, both, rows, summed, sizes)
    two = ordered(e, node, second, right, both, summed, columns, sizes)
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
    shape = None if value is None else value.meta.get(TURNED, value.shape)
    if shape is None or len(shape) != len(letters):
        return {}
    return {c: d if isinstance(d, int) else -1 for c, d in zip(letters, shape, strict=True)}


def ordered(
    e: Inserter,
    node: ir.Node,
    value: ir.Value | None,
    letters: str,
    both: list[str],
    rows: list[str],
    columns: list[str],
    sizes: dict[str, int],
) -> ir.Value:
    """An operand as [both..., rows, columns], the last two flattened to one axis each.

    A parameter that the same product alone reads, once or several times, is turned where it lies, so that it is a
    weight that masks go on.
    """
    if value is not None and TURNED in value.meta:
        return value
    perm = [letters.index(c) for c in both + rows + columns]
    shape = [sizes[c] for c in both] + [flat([sizes[c] for c in part]) for part in (rows, columns)]
    data = array_of(value)
    if value is not None and data is not None and role_of(value) is Role.PARAMETER and reads_alone(node, value):
        value.meta[TURNED] = value.shape
        set_array(value, data.transpose(perm).reshape(shape))
        return value
    turned = value if perm == sorted(perm) else e.op("Transpose", value, perm=perm)
    return e.op("Reshape", turned, e.ints("operand", shape))


def reads_alone(node: ir.Node, value: ir.Value) -> bool:
    """Whether a value is read by one Einsum, or by several that are the same but for what else they read."""
    reads = {(said(usage.node), usage.idx) for usage in value.uses()}
    return len(reads) == 1 and said(node) in {product for product, _ in reads}


def said(node: ir.Node) -> tuple[object, ...]:
    """What a node computes: its operator, its equation and the lengths of its operands."""
    shapes = (None if value is None or value.shape is None else str(value.shape) for value in node.inputs)
    return (node.op_type, string_attribute(node, "equation", ""), *shapes)


def flat(lengths: list[int]) -> int:
    """The length of several axes as one, -1 when the batch is among them."""
    return -1 if -1 in lengths else int(np.prod(lengths, dtype=np.int64))


REWRITES: dict[str, Callable[[Inserter, ir.Node], ir.Value | None]] = {"Einsum": einsum}
