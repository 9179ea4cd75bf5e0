"""The two forms of an activation: batch first, [N, C, H, W] or [N, C], and batch last, [C, H, W, N] or [C, 1, 1, N]."""

from collections.abc import Iterator

import onnx_ir as ir

from sparcl_compile.passes.core.edit import ints_attribute

BATCH_LAST, BATCH_FIRST = (1, 2, 3, 0), (3, 0, 1, 2)
"""The permutations from one form to the other."""

VIEWS = ("Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")

Length = int | ir.SymbolicDim


def lengths_of(value: ir.Value | None) -> list[Length]:
    """The lengths of a value's axes; empty where they are unknown, and for a scalar."""
    return [] if value is None or value.shape is None else list(value.shape)


def is_static(value: ir.Value) -> bool:
    """Whether all lengths are known numbers, so that the batch is none of them."""
    return value.shape is not None and value.shape.is_static()


def batch_last(value: ir.Value | None) -> list[Length] | None:
    """The shape [C, H, W, N] of a batch-first value in the other form, or None when it is none.

    The batch is symbolic and all other lengths are numbers, which tells activations from parameters.
    """
    lengths = lengths_of(value)
    if len(lengths) not in (2, 4) or not all(isinstance(length, int) for length in lengths[1:]):
        return None
    if not isinstance(lengths[0], ir.SymbolicDim) or lengths[0].value is None:
        return None
    return [*lengths[1:], *[1] * (4 - len(lengths)), lengths[0]]


def enters(node: ir.Node) -> bool:
    """Whether a node is the Transpose from batch first to batch last."""
    return _permutes(node, BATCH_LAST) and batch_last(node.inputs[0]) is not None


def leaves(node: ir.Node) -> bool:
    """Whether a node is the Transpose from batch last to batch first."""
    return _permutes(node, BATCH_FIRST) and batch_last(node.outputs[0]) is not None


def is_view(node: ir.Node) -> bool:
    """Whether a node only takes [N, C] for [N, C, 1, 1] or the reverse."""
    if node.op_type not in VIEWS or node.domain:
        return False
    before = batch_last(node.inputs[0])
    return before is not None and before == batch_last(node.outputs[0])


def is_conversion(node: ir.Node) -> bool:
    """Whether a node gives the same activation in another form and nothing else."""
    return enters(node) or leaves(node) or is_view(node)


def inside_form(value: ir.Value) -> ir.Value | None:
    """The batch-last form of a batch-first value where the graph has one."""
    top = _first_form(value)
    producer = top.producer()
    if producer is not None and leaves(producer):
        return producer.inputs[0]
    return next(_inside_forms(top), None)


def _first_form(value: ir.Value) -> ir.Value:
    producer = value.producer()
    while producer is not None and is_view(producer) and producer.inputs[0] is not None:
        value = producer.inputs[0]
        producer = value.producer()
    return value


def _inside_forms(value: ir.Value) -> Iterator[ir.Value]:
    for node in [usage.node for usage in value.uses()]:
        if enters(node):
            yield node.outputs[0]
        elif is_view(node):
            yield from _inside_forms(node.outputs[0])


def _permutes(node: ir.Node, order: tuple[int, ...]) -> bool:
    return node.op_type == "Transpose" and not node.domain and tuple(ints_attribute(node, "perm", ())) == order
