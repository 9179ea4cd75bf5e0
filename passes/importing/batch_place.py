"""The place of the batch in a tensor that is reshaped."""

import math

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import int_attribute

Carrier = tuple[int, int]
"""The factors (outer, inner) of a dimension of length outer * batch * inner."""
ALONE = (1, 1)
"""The factors of a dimension that is the batch and nothing else."""


def allows_zero(node: ir.Node) -> bool:
    """Whether a Reshape takes 0 for a length rather than for "as before"."""
    return int_attribute(node, "allowzero", 0) == 1


def resolved(shape: tuple[int, ...], target: np.ndarray, allow_zero: bool) -> tuple[int, ...]:
    """The shape that a Reshape of ``shape`` to ``target`` has."""
    lengths = [
        shape[i] if length == 0 and not allow_zero and i < len(shape) else int(length)
        for i, length in enumerate(target)
    ]
    rest = math.prod(length for length in lengths if length != -1)
    free = math.prod(shape) // rest if rest else 0
    return tuple(free if length == -1 else length for length in lengths)


def batch_place(
    before: tuple[int, ...], axis: int, carrier: Carrier, after: tuple[int, ...], batch: int
) -> tuple[int, Carrier] | None:
    """The axis of the batch after a Reshape, with its factors there; None when they are ambiguous.

    A Reshape keeps the row-major order, so the distance between two rows of the batch stays: the batch's new axis is
    one whose stride divides that distance. With a batch of 1 several can: the last axis, which holds features, comes
    last; then an axis that begins with the batch (batch * heads) goes before one that ends with it; the nearest wins.
    """
    distance = carrier[1] * math.prod(before[axis + 1 :])
    found = []
    for place, length in enumerate(after):
        stride = math.prod(after[place + 1 :])
        inner = distance // stride if stride else 0
        if inner == 0 or distance % stride or length % (inner * batch):
            continue
        outer = length // (inner * batch)
        last = place == len(after) - 1 > 0
        found.append(((last, outer, inner, abs(place - axis)), place, (outer, inner)))
    if not found:
        return None
    _, place, new = min(found)
    return place, new
