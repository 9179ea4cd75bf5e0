"""The sparse operators of the domain ``sparcl``, whose gradients are operators of that domain."""

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.passes.core.edit import int_attribute
from sparcl_compile.passes.core.operators import (
    BATCH_NORM,
    BATCH_NORM_GRADIENT,
    BLOCK_KEY,
    MAX_POOL,
    MAX_POOL_GRADIENT,
    SPARSE_CONV,
    SPARSE_DOMAIN,
    SPARSE_INPUT_GRADIENT,
    SPARSE_WEIGHT_GRADIENT,
)
from sparcl_compile.passes.gradients.gradient import Gradient, Rule, each

KEPT = {
    SPARSE_CONV: ("channels", "kernel_shape", "strides", "pads", "dilations", BLOCK_KEY),
    BATCH_NORM: ("relu",),
    MAX_POOL: ("kernel_shape", "strides", "pads", "dilations"),
}
"""By operator the attributes that its gradients have too."""


def kept(node: ir.Node) -> dict[str, ir.Attr]:
    """The attributes of a node that its gradients have too."""
    return {name: node.attributes[name] for name in KEPT[node.op_type] if name in node.attributes}


def dims_of_plane(x: ir.Value | None) -> list[int]:
    """The height and width of [C, H, W, N]."""
    shape = () if x is None or x.shape is None else tuple(x.shape)
    return [d for d in shape[1:3] if isinstance(d, int)]


def _input(g: Gradient) -> ir.Value:
    plane = dims_of_plane(g.x)
    inputs = (g.dy, *(g.given(number) for number in (1, 2, 3)))
    return g.op(SPARSE_INPUT_GRADIENT, *inputs, like=g.x, domain=SPARSE_DOMAIN, **kept(g.node), input_shape=plane)


def _weight(g: Gradient) -> ir.Value:
    inputs = (g.x, g.dy, g.given(2), g.given(3))
    return g.op(SPARSE_WEIGHT_GRADIENT, *inputs, like=g.input(1), domain=SPARSE_DOMAIN, **kept(g.node))


def _batch_norm(g: Gradient) -> Sequence[ir.Value | None]:
    """One kernel gives the gradients of the input, of scale and shift, and of what was added in front of the ReLU."""
    y, *_, mean, deviation = g.node.outputs
    count = 4 if g.wants(3) else 3
    # Only the gate of a ReLU reads the output, which would be kept for nothing otherwise.
    gate = (y,) if int_attribute(g.node, "relu", 0) else ()
    inputs = (g.dy, g.x, g.input(1), mean, deviation, *gate)
    found = g.outputs(BATCH_NORM_GRADIENT, *inputs, count=count, domain=SPARSE_DOMAIN, **kept(g.node))
    for out, like in zip(found, (g.x, g.input(1), g.input(1), g.x), strict=False):
        out.shape, out.type = like.shape, like.type
    return found


def _max_pool(g: Gradient) -> ir.Value:
    inputs = (g.dy, g.x, g.y)
    return g.op(MAX_POOL_GRADIENT, *inputs, like=g.x, domain=SPARSE_DOMAIN, **kept(g.node))


RULES: Mapping[str, Rule] = {SPARSE_CONV: each(_input, _weight), BATCH_NORM: _batch_norm, MAX_POOL: each(_max_pool)}
