"""The memory that kernels of ONNX Runtime's CPU provider take while they run and give back behind it."""

import math
from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.passes.analysis.liveness.sizes import bytes_of

PATCHES = 1 << 16
"""Bytes in which a convolution lays out parts of its input, on one thread
(``MLAS_CONV_WORKING_BUFFER_SIZE_PER_THREAD``)."""


def _convolution(node: ir.Node) -> int:
    """None for a kernel of one element that is not moved: that is a product of matrices as it stands."""
    weight, strides = node.inputs[1], node.attributes.get("strides")
    taps = math.prod(_lengths(weight)[2:])
    moved = strides is not None and any(step > 1 for step in strides.as_ints())
    return PATCHES if taps > 1 or moved else 0


def _transposed_convolution(node: ir.Node) -> int:
    """What all taps give for one group of a sample, before it is added up."""
    per_group, positions = _lengths(node.inputs[1])[1:], _lengths(node.inputs[0])[2:]
    return 4 * math.prod(per_group) * math.prod(positions)


def _sum(node: ir.Node) -> int:
    """Of three or more: the sum of all but the last."""
    return (bytes_of(node.outputs[0]) or 0) if len(node.inputs) > 2 else 0


def _lengths(value: ir.Value | None) -> Sequence[int]:
    shape = None if value is None else value.shape
    return [] if shape is None else [length for length in shape if isinstance(length, int)]


WORKSPACES: Mapping[str, Callable[[ir.Node], int]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Sum": _sum,
}
"""Bytes by operator, on one thread; an operator that is missing takes none, or none that was seen."""
