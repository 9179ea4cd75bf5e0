"""Gradient mask update (DGM): choose the weights that the next steps change."""

from collections.abc import Sequence

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.masks import NOT_KEPT, MaskedLayer, element, flat, gradients, weighted
from sparcl_compile.graphs.selection import largest
from sparcl_compile.passes.base import Role, gradient_mask_name, mask_name


def build(layers: Sequence[MaskedLayer], alpha: float, beta: float) -> ir.Model:
    """Make the graph ``update_gradient_masks`` for L layers.

    Inputs: ``keep`` int64 [L]; for each weight W ``W.g1`` and ``W.g2`` float32; state ``W.mask``.
    Results: ``W.gradient_mask.next``, where exactly ``min(keep, kept weights)`` of the kept weights are chosen, those
    with the largest ``alpha * |g1| + beta * |g2|`` (ties: lower index).

    Args:
        layers: the masked weights, in the manifest's order.
        alpha: factor of ``|g1|``.
        beta: factor of ``|g2|``.
    """
    b = Builder("update_gradient_masks", "Choose the keep kept weights of a layer with the largest gradients.")
    op = b.op
    keep = b.feed("keep", INT64, [len(layers)])
    for number, layer in enumerate(layers):
        with b.scope(layer.name):
            mask = b.state(mask_name(layer.name), FLOAT, layer.shape, Role.MASK)
            first, second = gradients(b, layer)
            importance = op.Add(weighted(b, alpha, first), weighted(b, beta, second))
            kept = op.Greater(mask, 0.0)
            room = op.Min(b.count(kept), op.Max(element(b, keep, number), 0))
            chosen = largest(b, flat(b, op.Where(kept, importance, NOT_KEPT)), room)
            chosen = op.Reshape(b.cast(chosen, FLOAT), list(layer.shape))
            b.result(f"{gradient_mask_name(layer.name)}.next", chosen, FLOAT, layer.shape)
    return b.model()
