"""Rules of layers, normalisations, reductions and pools: what produces, contracts or mixes channels."""

import onnx_ir as ir

from sparcl_compile.passes.analysis.channels.elementwise import broadcast, meet
from sparcl_compile.passes.analysis.channels.labels import QUIET, Axis, Cause
from sparcl_compile.passes.analysis.channels.walk import Axes, Rule, Trace, positions, unknown, whole
from sparcl_compile.passes.core.edit import array_of, int_attribute, is_read, reduction_axes

MIXES = "mixes all channels"


def conv(t: Trace, node: ir.Node) -> list[Axes]:
    """Input channels are contracted with the weight's axis 1, output channels are the weight's axis 0."""
    x, weight = t.axes(node, 0), t.axes(node, 1)
    for axis in weight[2:]:
        t.ties.block(axis, QUIET)
    group = int_attribute(node, "group", 1)
    if group == 1:
        contract(t, node, (0, 1), (1, 1))
    else:
        tie_groups(t, group, x[1], weight[0])
        t.ties.block(weight[1], QUIET)
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        t.ties.tie(weight[0], t.axes(node, 2)[0])
    return [[x[0], weight[0], *positions(t, node, x[2:], len(x) - 2)]]


def conv_transpose(t: Trace, node: ir.Node) -> list[Axes]:
    """Input channels are contracted with the weight's axis 0, output channels are the weight's axis 1."""
    if int_attribute(node, "group", 1) > 1:
        return unknown(t, node)
    x, weight = t.axes(node, 0), t.axes(node, 1)
    for axis in weight[2:]:
        t.ties.block(axis, QUIET)
    contract(t, node, (0, 1), (1, 0))
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        t.ties.tie(weight[1], t.axes(node, 2)[0])
    return [[x[0], weight[1], *positions(t, node, x[2:], len(x) - 2)]]


def tie_groups(t: Trace, group: int, x: Axis, weight: Axis) -> None:
    """All that belongs to a group goes together: its inputs, its outputs and its rows of the weight."""
    if isinstance(x, Cause) or isinstance(weight, Cause):
        t.ties.tie(x, weight)
        return
    rows = [axis.reshape(group, -1) for axis in (x, weight)]
    for table in rows:
        t.ties.tie_rows(table)
    t.ties.tie(rows[0][:, 0], rows[1][:, 0])


def contract(t: Trace, node: ir.Node, one: tuple[int, int], other: tuple[int, int]) -> None:
    """A sum over an axis of each of two inputs (slot, axis).

    It is exact against a parameter only, whose elements of a removed unit are zero.
    """
    first, second = (t.axes(node, slot)[axis] for slot, axis in (one, other))
    if any(node.inputs[slot] in t.weights for slot, _ in (one, other)):
        t.ties.tie(first, second)
        return
    constant = any(value is not None and value.is_initializer() for value in node.inputs[:2])
    reason = "sums over it with constant factors" if constant else "sums over it in a product of two activations"
    t.block(node, [first, second], reason)


def gemm(t: Trace, node: ir.Node) -> list[Axes]:
    """Rows of A, columns of B and the addend C; the inner axes are contracted."""
    inner_a, inner_b = 1 - int_attribute(node, "transA", 0), int_attribute(node, "transB", 0)
    contract(t, node, (0, inner_a), (1, inner_b))
    out = [t.axes(node, 0)[1 - inner_a], t.axes(node, 1)[1 - inner_b]]
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return [out]
    shape = t.shape(node.outputs[0])
    return [broadcast(t, [(out, shape), (t.axes(node, 2), t.shape(node.inputs[2]))])]


def matmul(t: Trace, node: ir.Node) -> list[Axes]:
    """As numpy: the last axis of A with the last but one of B, the axes before are broadcast."""
    a, b = t.axes(node, 0), t.axes(node, 1)
    if len(a) < 2 or len(b) < 2:
        return unknown(t, node)
    contract(t, node, (0, -1), (1, -2))
    before = [(axes[:-2], t.shape(value)[:-2]) for axes, value in zip((a, b), node.inputs, strict=True)]
    stacked = broadcast(t, before) if max(len(a), len(b)) > 2 else []
    return [[*stacked, a[-2], b[-1]]]


def batch_norm(t: Trace, node: ir.Node) -> list[Axes]:
    """One number a channel in each of four vectors; the statistics run over all other axes."""
    x = t.axes(node, 0)
    vectors = [t.axes(node, slot)[0] for slot in range(1, 5)]
    channels = meet(t, [x[1], *vectors])
    t.block(node, [x[0], *x[2:]], "positions, not channels")
    return [[x[0], channels, *x[2:]], [channels], [channels]]


def layer_norm(t: Trace, node: ir.Node) -> list[Axes]:
    """Statistics over the last axes, which therefore stay."""
    x = t.axes(node, 0)
    first = int_attribute(node, "axis", -1) % len(x)
    given = [slot for slot in range(1, len(node.inputs)) if node.inputs[slot] is not None]
    broadcast(t, [(x, t.shape(node.inputs[0])), *((t.axes(node, s), t.shape(node.inputs[s])) for s in given)])
    t.block(node, x[first:], MIXES)
    statistics: Axes = [*x[:first], *[QUIET] * (len(x) - first)]
    return [x, statistics, statistics]


def over_axis(t: Trace, node: ir.Node) -> list[Axes]:
    """Softmax and its kin: one axis is mixed, all others pass."""
    x = t.axes(node, 0)
    t.block(node, [x[int_attribute(node, "axis", -1)]], MIXES)
    return [x]


def top(t: Trace, node: ir.Node) -> list[Axes]:
    """TopK and ArgMax along an axis, which comes out with another meaning."""
    x, axis = t.axes(node, 0), int_attribute(node, "axis", -1 if node.op_type == "TopK" else 0)
    t.block(node, [x[axis]], MIXES)
    axis %= len(x)
    middle: Axes = [t.cause(node, MIXES)] if int_attribute(node, "keepdims", 1) else []
    out: Axes = [*x[:axis], *middle, *x[axis + 1 :]]
    return [out] * len(node.outputs)


def reduce(t: Trace, node: ir.Node) -> list[Axes]:
    """Reductions: the reduced axes stay, all others pass."""
    x, reduced = t.axes(node, 0), reduction_axes(node)
    if reduced is None:
        return unknown(t, node)
    t.block(node, [x[axis] for axis in reduced], MIXES)
    if int_attribute(node, "keepdims", 1):
        return [[QUIET if axis in reduced else one for axis, one in enumerate(x)]]
    return [[one for axis, one in enumerate(x) if axis not in reduced]]


def pool(t: Trace, node: ir.Node) -> list[Axes]:
    """Pools slide over the axes after the channels."""
    if any(is_read(value) for value in node.outputs[1:]):
        return unknown(t, node)
    x = t.axes(node, 0)
    return [[*x[:2], *positions(t, node, x[2:], len(x) - 2)]]


def triangle(t: Trace, node: ir.Node) -> list[Axes]:
    """Trilu and CumSum: what an element becomes depends on its place."""
    x = t.axes(node, 0)
    last = x[-2:] if node.op_type == "Trilu" else x
    t.block(node, last, "depends on the place along it")
    return [x]


def lengths(t: Trace, node: ir.Node) -> list[Axes]:
    """Shape and Size: a length that is read must stay."""
    x = t.axes(node, 0)
    start, end = int_attribute(node, "start", 0), int_attribute(node, "end", len(x))
    readers = [usage.node for usage in node.outputs[0].uses()]
    picked = [array_of(reader.inputs[1]) if reader.op_type == "Gather" else None for reader in readers]
    entries = [x[start:end] if numbers is None else [x[start:end][n] for n in numbers.flat] for numbers in picked]
    t.block(node, [axis for some in entries for axis in some], "its length is read")
    return [whole(t, node, node.outputs[0], "its length is read")]


RULES: dict[str, Rule] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Gemm": gemm,
    "MatMul": matmul,
    "BatchNormalization": batch_norm,
    "LayerNormalization": layer_norm,
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), over_axis),
    **dict.fromkeys(("TopK", "ArgMax", "ArgMin"), top),
    **dict.fromkeys(
        (f"Reduce{kind}" for kind in ("Mean", "Sum", "Max", "Min", "LogSumExp", "L1", "SumSquare")), reduce
    ),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool"), pool),
    **dict.fromkeys(("Trilu", "CumSum"), triangle),
    **dict.fromkeys(("Shape", "Size"), lengths),
}
