"""Gradient mask update (DGM): choose the weights that the next steps change."""

from collections.abc import Sequence

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.layer_body import LayerCalls
from sparcl_compile.graphs.masks import NOT_KEPT, MaskedLayer, flat, gradients, not_subnormal, weighted
from sparcl_compile.graphs.selection import largest
from sparcl_compile.graphs.storage import at_places, first_places, live_places
from sparcl_compile.interface.names import Role, gradient_mask_name, gradient_rows_name, mask_name

KEEP = "keep"


def build(layers: Sequence[MaskedLayer], alpha: float, beta: float, channels: bool = False) -> ir.Model:
    """Make the graph ``update_gradient_masks`` for L layers.

    Inputs: ``keep`` int64 [L]; for each weight W the state ``W.g1`` and ``W.g2`` float32, and ``W.mask``.
    Results: ``W.gradient_mask.next``, where exactly ``min(keep, kept weights)`` of the kept weights are chosen, those
    with the largest ``alpha * |g1| + beta * |g2|`` (subnormal ones count as 0; ties: lower index).

    With ``channels`` exactly ``min(keep, O)`` of the O output channels are chosen, those with the largest sum (ties:
    lower index; channels without a kept weight come last), and the mask holds their kept weights. A layer with rows has
    the result ``W.gradient_rows.next`` as well, their numbers int64 [rows], ascending; its ``keep`` equals ``rows``.

    A layer with ``places`` has ``W.rows`` in the mask's stead and [K] for its shape: its kept weights are those in live
    places (docs/algorithm.md, Compressed weights). Where gradients of all its weights are measured, ``W.g1`` and
    ``W.g2`` are [n] in the order of the places, and ``W.index`` says which of them are meant.

    Each layer is one call of a function, which the layers that are computed alike share.

    Args:
        layers: the masked and the compressed weights, in the manifest's order.
        alpha: factor of ``|g1|``.
        beta: factor of ``|g2|``.
        channels: choose whole output channels.

    Raises:
        ValueError: ``channels`` with a compressed layer, which has no channels to leave out.
    """
    compressed = [layer.name for layer in layers if layer.places is not None]
    if channels and compressed:
        raise ValueError(f"compressed weights choose single gradients, not channels: {', '.join(compressed)}")
    b = Builder("update_gradient_masks", "Choose the keep kept weights of a layer with the largest gradients.")
    counts = b.parts(b.feed(KEEP, INT64, [len(layers)]), len(layers))
    choose = _channels if channels else _weights

    def build_layer(inner: Builder, layer: MaskedLayer, _: Sequence[str]) -> None:
        op, keep = inner.op, inner.op.Squeeze(inner.feed(KEEP, INT64, [1]))
        mask = _mask(inner, layer)
        first, second = gradients(inner, layer)
        importance = not_subnormal(inner, op.Add(weighted(inner, alpha, first), weighted(inner, beta, second)))
        importance = at_places(inner, layer, importance) if layer.all_measured else importance
        chosen = choose(inner, layer, mask, importance, keep)
        inner.result(f"{gradient_mask_name(layer.name)}.next", chosen, FLOAT, layer.stored)

    calls = LayerCalls(b, "choose_gradients", build_layer, by_shape=channels)
    for layer, keep in zip(layers, counts, strict=True):
        calls.call(layer, (), {KEEP: keep})
    return b.model()


def _mask(b: Builder, layer: MaskedLayer) -> ir.Value:
    """The mask of the stored weights: float32 of their shape."""
    if layer.places is None:
        return b.state(mask_name(layer.name), FLOAT, layer.shape, Role.MASK)
    return first_places(b, layer, live_places(b, layer))


def _weights(b: Builder, layer: MaskedLayer, mask: ir.Value, importance: ir.Value, keep: ir.Value) -> ir.Value:
    op = b.op
    kept = op.Greater(mask, 0.0)
    room = op.Min(b.count(kept), op.Max(keep, 0))
    chosen = largest(b, flat(b, op.Where(kept, importance, NOT_KEPT)), room)
    return op.Reshape(b.cast(chosen, FLOAT), op.Shape(mask))


def _channels(b: Builder, layer: MaskedLayer, mask: ir.Value, importance: ir.Value, keep: ir.Value) -> ir.Value:
    op = b.op
    number = layer.shape[layer.output_axis]
    others = [axis for axis in range(len(layer.shape)) if axis != layer.output_axis]
    alive = op.Greater(op.ReduceMax(mask, others, keepdims=0), 0.0)
    total = op.ReduceSum(op.Mul(importance, mask), others, keepdims=0)
    room = op.Min(op.Max(keep, 0), number)
    chosen = largest(b, op.Where(alive, total, NOT_KEPT), room)
    if layer.rows is not None:
        rows = op.Reshape(op.NonZero(chosen), [-1])
        b.result(f"{gradient_rows_name(layer.name)}.next", rows, INT64, [layer.rows])
    shape = [number if axis == layer.output_axis else 1 for axis in range(len(layer.shape))]
    return op.Mul(mask, op.Reshape(b.cast(chosen, FLOAT), shape))
