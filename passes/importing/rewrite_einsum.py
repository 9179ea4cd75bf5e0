"""Einsum said in a product."""

import dataclasses
import string
from collections.abc import Callable, Mapping, Sequence, Set

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.edit import array_of, set_array, string_attribute
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.roles import role_of

TURNED = "sparcl.turned"
"""Key in a weight's ``meta``: the shape that it had for an Einsum, before it was turned for a product."""


def einsum(e: Inserter, node: ir.Node) -> ir.Value | None:
    """Einsum as sums and as MatMuls between transposed and reshaped operands, two at a time from the left.

    Letters in two operands and in what is left to do are the batch of a product, letters in both alone are summed, and
    so is, before, what one operand alone has. Repeated letters of an operand are left alone.
    """
    equation = spelled_out(string_attribute(node, "equation", "").replace(" ", ""), node.inputs)
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    plain = all(term.isalpha() and len(set(term)) == len(term) for term in (*terms, result))
    if not arrow or len(terms) != len(node.inputs) or not plain:
        return None
    sizes: dict[str, int] = {}
    for value, term in reversed(list(zip(node.inputs, terms, strict=True))):
        sizes |= letter_sizes(value, term)
    letters = set("".join(terms))
    if not set(result) <= letters == sizes.keys() or list(sizes.values()).count(-1) > 1:
        return None
    product = Product(e, node, sizes)
    operands = [
        product.summed(value, term, set(result).union(*terms[:place], *terms[place + 1 :]))
        for place, (value, term) in enumerate(zip(node.inputs, terms, strict=True))
    ]
    while len(operands) > 1:
        one, two, *rest = operands
        operands = [product.of(one, two, set(result).union(*(term for _, term in rest))), *rest]
    return product.turned(*operands[0], result)


Operand = tuple[ir.Value | None, str]
"""A value and the letters of its axes."""


@dataclasses.dataclass(frozen=True)
class Product:
    """The parts that an Einsum is made of.

    Attributes:
        e: inserts before the node.
        node: the Einsum.
        sizes: the length behind each letter, -1 for the batch.
    """

    e: Inserter
    node: ir.Node
    sizes: Mapping[str, int]

    def summed(self, value: ir.Value | None, letters: str, others: Set[str]) -> Operand:
        """An operand without the axes that nothing else has."""
        axes = [place for place, letter in enumerate(letters) if letter not in others]
        if not axes:
            return value, letters
        total = self.e.op("ReduceSum", value, self.e.ints("axes", axes), keepdims=0)
        return total, "".join(letter for letter in letters if letter in others)

    def of(self, one: Operand, two: Operand, needed: Set[str]) -> Operand:
        """The product of two operands, summed over the letters of both that nothing needs."""
        (first, left), (second, right) = one, two
        both = [c for c in left if c in right and c in needed]
        summed = [c for c in left if c in right and c not in needed]
        rows = [c for c in left if c not in right]
        columns = [c for c in right if c not in left]
        if -1 in [self.sizes[c] for c in columns]:  # rows of the batch stay rows of the product
            first, second, left, right, rows, columns = second, first, right, left, columns, rows
        a = ordered(self.e, self.node, first, left, both, rows, summed, self.sizes)
        b = ordered(self.e, self.node, second, right, both, summed, columns, self.sizes)
        have = "".join(both + rows + columns)
        lengths = self.e.ints("result", [self.sizes[c] for c in have])
        return self.e.op("Reshape", self.e.op("MatMul", a, b), lengths), have

    def turned(self, value: ir.Value | None, letters: str, result: str) -> ir.Value:
        """The axes in the order of the result."""
        return self.e.op("Transpose", value, perm=[letters.index(c) for c in result])


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
    sizes: Mapping[str, int],
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
