"""Sums over the places of a sample, as networks on sets take them: activations grow by the number of places."""

import math
from collections.abc import Iterator

import onnx_ir as ir

from sparcl_compile.passes.analysis.heads import above
from sparcl_compile.passes.analysis.normalised import is_normalised
from sparcl_compile.passes.core.edit import reduction_axes
from sparcl_compile.passes.core.layers import WEIGHT_SLOTS

VIEWS = ("Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten")
WEIGHED = ("Mul", "Div", "Pow", "Exp", "Softmax")
"""What is summed behind them is a product or a share: attention, norms, means by hand."""
SCALED = ("Mul", "Div", "Sqrt", "Log")
"""What becomes of the sum of a mean or of a norm."""
FEW = 4
"""Sums of fewer parts are no larger than what else differs between layers."""


def sums_of_places(graph: ir.Graph) -> Iterator[tuple[ir.Node, int]]:
    """The sums over places of a sample, with their number, that nothing makes a mean of or normalises."""
    for node in graph:
        count = _places(node) if node.op_type == "ReduceSum" else 0
        if count >= FEW and not _is_scaled(node.outputs[0]):
            yield node, count


def _places(node: ir.Node) -> int:
    """The number of places that a sum adds up; 0 where it adds up something else."""
    x, axes = node.inputs[0], reduction_axes(node)
    maker = None if x is None else x.producer()
    if x is None or x.shape is None or not axes or (maker is not None and maker.op_type in WEIGHED):
        return 0
    if {0, _features(x, len(x.shape))} & set(axes):
        return 0
    parts = [length for axis in axes if isinstance(length := x.shape[axis], int)]
    return math.prod(parts) if len(parts) == len(axes) else 0


def _features(value: ir.Value, rank: int) -> int:
    """The axis of a value's features: the one that the nearest layer above makes."""
    layer = next((node.op_type for node in above(value) if node.op_type in WEIGHT_SLOTS), "")
    return 1 if layer.startswith("Conv") else rank - 1


def _is_scaled(value: ir.Value) -> bool:
    readers = [usage.node for usage in value.uses()]
    if len(readers) == 1 and readers[0].op_type in VIEWS:
        return _is_scaled(readers[0].outputs[0])
    return is_normalised(value) or not readers or any(node.op_type in SCALED for node in readers)
