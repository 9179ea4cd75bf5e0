"""Which operators have a batch-last form, and how each is written in it."""

import dataclasses
from collections.abc import Callable

import onnx_ir as ir

from sparcl_compile.passes.analysis.channels.elementwise import BROADCASTING, GUARDED, UNARY
from sparcl_compile.passes.core.edit import (
    Attributes,
    array_of,
    float_attribute,
    int_attribute,
    ints_attribute,
    is_read,
    kept_attributes,
    string_attribute,
)
from sparcl_compile.passes.core.operators import BATCH_NORM, MAX_POOL, MOST_KERNEL, MOST_STRIDE, SPARSE_DOMAIN
from sparcl_compile.passes.core.values import FLOAT
from sparcl_compile.passes.lowering.batch_last.forms import batch_last, is_static, lengths_of
from sparcl_compile.passes.lowering.batch_last.mover import Mover

EPSILON, MOMENTUM = 1e-5, 0.9
"""ONNX's defaults."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """A condition under which a node can take the batch-last layout itself, and the function that writes it so."""

    can: Callable[[ir.Node], bool]
    write: Callable[[Mover], None]


def can_move(node: ir.Node) -> bool:
    """Whether a node has a batch-last form."""
    rule = None if node.domain else RULES.get(node.op_type)
    return rule is not None and batch_last(node.outputs[0]) is not None and rule.can(node)


def move(mover: Mover) -> None:
    """Write a node that can be moved in the layout."""
    RULES[mover.node.op_type].write(mover)


def _meets(node: ir.Node) -> bool:
    """Whether every operand lies along the result's axes: activations with all of them, parameters without a batch."""
    rank = len(lengths_of(node.outputs[0]))
    return all(value is None or _operand_meets(value, rank) for value in node.inputs)


def _operand_meets(value: ir.Value, rank: int) -> bool:
    lengths = lengths_of(value)
    if batch_last(value) is not None:
        return len(lengths) == rank
    return is_static(value) and len(lengths) <= rank and (len(lengths) < rank or lengths[0] == 1)


def _write_elementwise(mover: Mover) -> None:
    inputs = [mover.operand(slot) for slot in range(len(mover.node.inputs))]
    mover.again(inputs, kept_attributes(mover.node))


def _is_training_norm(node: ir.Node) -> bool:
    if batch_last(node.inputs[0]) is None or not all(
        value is not None and is_static(value) for value in node.inputs[1:]
    ):
        return False
    return int_attribute(node, "training_mode", 0) == 1 and all(out.name for out in node.outputs[1:3])


def _write_norm(mover: Mover) -> None:
    node = mover.node
    attributes = {
        "epsilon": float_attribute(node, "epsilon", EPSILON),
        "momentum": float_attribute(node, "momentum", MOMENTUM),
        "relu": 0,
    }
    inputs = [mover.inside(0), *node.inputs[1:3], None, *node.inputs[3:5]]
    new = mover.insert.node(BATCH_NORM, *inputs, name=str(node.name), domain=SPARSE_DOMAIN, outputs=5, **attributes)
    for out, suffix in zip(new.outputs[1:], ("next_mean", "next_var", "saved_mean", "saved_inv_std"), strict=True):
        out.name, out.shape, out.type = f"{node.name}.{suffix}", ir.Shape(lengths_of(node.inputs[3])), FLOAT
    mover.replace(new.outputs)


def _is_pointwise(node: ir.Node) -> bool:
    """Whether a Conv is a product of matrices: one weight a pair of channels, at every strides-th place."""
    weight = node.inputs[1]
    return (
        batch_last(node.inputs[0]) is not None
        and weight is not None
        and is_static(weight)
        and lengths_of(weight)[2:] == [1, 1]
        and int_attribute(node, "group", 1) == 1
        and not any(ints_attribute(node, "pads", ()))
        and string_attribute(node, "auto_pad", "NOTSET") in ("NOTSET", "VALID")
    )


def _write_pointwise(mover: Mover) -> None:
    node = mover.node
    out, (outputs, channels) = node.outputs[0], lengths_of(node.inputs[1])[:2]
    shape = batch_last(out) or []
    places = shape[-1] * int(shape[1]) * int(shape[2])  # type: ignore[operator, arg-type]
    x = mover.inside(0)
    strides = ints_attribute(node, "strides", (1, 1))
    if strides != [1, 1]:
        ends = [int(length) for length in lengths_of(x)[1:3]]  # type: ignore[arg-type]
        bounds = [mover.ints(values) for values in ([0, 0], ends, [1, 2], strides)]
        x = mover.insert.op("Slice", x, *bounds, name=f"{out.name}.places", shape=[channels, *shape[1:]])
    rows = mover.reshape(x, [channels, places], "rows")
    weight = mover.reshape(node.inputs[1], [outputs, channels], "matrix")  # type: ignore[arg-type]
    product = mover.insert.op("MatMul", weight, rows, name=f"{out.name}.product", shape=[outputs, places])
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None:
        column = mover.reshape(bias, [outputs, 1], "column")
        product = mover.insert.op("Add", product, column, name=f"{out.name}.sum", shape=[outputs, places])
    mover.replace([mover.reshape(product, shape, "maps")])


def _averages_planes(node: ir.Node) -> bool:
    if batch_last(node.inputs[0]) is None or len(lengths_of(node.inputs[0])) != 4:
        return False
    axes = array_of(node.inputs[1]) if len(node.inputs) > 1 else None
    return node.op_type == "GlobalAveragePool" or (
        axes is not None and sorted(int(axis) % 4 for axis in axes) == [2, 3]
    )


def _write_average(mover: Mover) -> None:
    out = mover.node.outputs[0]
    name, shape = f"{out.name}.mean", batch_last(out) or []
    mean = mover.insert.op("ReduceMean", mover.inside(0), mover.ints([1, 2]), name=name, shape=shape, keepdims=1)
    mover.replace([mean])


def _is_max_pool(node: ir.Node) -> bool:
    """Whether a MaxPool has a kernel in the layout: over planes, with explicit padding and without indices."""
    kernel, strides = (ints_attribute(node, name, (1, 1)) for name in ("kernel_shape", "strides"))
    return (
        batch_last(node.inputs[0]) is not None
        and len(kernel) == 2
        and max(kernel) <= MOST_KERNEL
        and max(strides) <= MOST_STRIDE
        and not int_attribute(node, "ceil_mode", 0)
        and string_attribute(node, "auto_pad", "NOTSET") == "NOTSET"
        and not any(is_read(out) for out in node.outputs[1:])
    )


def _write_max_pool(mover: Mover) -> None:
    node = mover.node
    defaults = {"kernel_shape": (1, 1), "strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1)}
    attributes: Attributes = {name: ints_attribute(node, name, default) for name, default in defaults.items()}
    new = mover.insert.node(MAX_POOL, mover.inside(0), name=str(node.name), domain=SPARSE_DOMAIN, **attributes)
    mover.replace(new.outputs)


def _is_concat(node: ir.Node) -> bool:
    rank = len(lengths_of(node.outputs[0]))
    parts = all(batch_last(value) is not None and len(lengths_of(value)) == rank for value in node.inputs)
    return parts and int_attribute(node, "axis", 0) % rank != 0


def _write_concat(mover: Mover) -> None:
    rank = len(lengths_of(mover.node.outputs[0]))
    axis = int_attribute(mover.node, "axis", 0) % rank - 1
    inputs = [mover.inside(slot) for slot in range(len(mover.node.inputs))]
    mover.again(inputs, {"axis": ir.AttrInt64("axis", axis)})


RULES = {
    **dict.fromkeys((*UNARY, *BROADCASTING, *GUARDED), Rule(_meets, _write_elementwise)),
    "BatchNormalization": Rule(_is_training_norm, _write_norm),
    "Concat": Rule(_is_concat, _write_concat),
    "Conv": Rule(_is_pointwise, _write_pointwise),
    "MaxPool": Rule(_is_max_pool, _write_max_pool),
    "GlobalAveragePool": Rule(_averages_planes, _write_average),
    "ReduceMean": Rule(_averages_planes, _write_average),
}
