"""Mask update (TDM): remove the least important weights, grow others at random."""

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.exchange import Update, exchange
from sparcl_compile.graphs.hash import Stream, words
from sparcl_compile.graphs.hash import key as chained
from sparcl_compile.graphs.masks import MaskedLayer, element, flat, importance_of
from sparcl_compile.passes.base import Role, gradient_mask_name, mask_name


def build(
    layers: Sequence[MaskedLayer],
    optimizer_states: Mapping[str, Sequence[str]],
    alpha: float,
    beta: float,
    gradient_masks: bool,
) -> ir.Model:
    """Make the graph ``update_masks`` for L layers.

    Inputs: ``key`` int64 [3] (seed, mask updates so far; the third word is not read, the layer's index stands for it),
    ``remove_to`` and ``grow_to`` int64 [L], for each weight W ``W.g1`` and ``W.g2`` float32; state W, its mask and its
    optimizer states. Results: ``.next`` of W, its mask, its optimizer states and, when asked for, its gradient mask.

    Counts are of the layer's groups and hold exactly: ``min(kept, remove_to)`` stay, then ``grow_to`` are kept if there
    were fewer. Under N:M they are of weights, and each group grows what it lacks, whatever ``grow_to`` says.

    Args:
        layers: the masked weights, in the manifest's order.
        optimizer_states: names of the optimizer states of each weight, by its name; a weight may be missing.
        alpha: factor of ``|g1|``.
        beta: factor of ``|g2|``.
        gradient_masks: also set each gradient mask to the new mask.
    """
    b = Builder("update_masks", "Keep the remove_to most important weights of a layer, then grow to grow_to at random.")
    seed, updates = words(b, b.feed("key", INT64, [3]), 2)
    run_key = chained(b, seed, Stream.GROW, updates)
    counts = [b.feed(name, INT64, [len(layers)]) for name in ("remove_to", "grow_to")]
    for number, layer in enumerate(layers):
        with b.scope(layer.name):
            remove_to, grow_to = (element(b, count, number) for count in counts)
            weight = b.state(layer.name, FLOAT, layer.shape, Role.PARAMETER)
            mask = b.state(mask_name(layer.name), FLOAT, layer.shape, Role.MASK)
            kept = b.op.Greater(flat(b, mask), 0.0)
            importance = flat(b, importance_of(b, layer, weight, alpha, beta))
            update = Update(kept, importance, remove_to, grow_to, run_key, number)
            stays, mask_after = exchange(b, layer.groups, update)
            states = optimizer_states.get(layer.name, ())
            _results(b, layer, weight, kept, stays, mask_after, states, gradient_masks)
    return b.model()


def _results(
    b: Builder,
    layer: MaskedLayer,
    weight: ir.Value,
    kept: ir.Value,
    stays: ir.Value,
    mask_after: ir.Value,
    states: Sequence[str],
    gradient_masks: bool,
) -> None:
    op = b.op
    shape = list(layer.shape)
    new_mask = op.Reshape(b.cast(mask_after, FLOAT), shape)
    # Removed or grown; a weight that was removed and grown again in one update starts at zero as well.
    touched = op.Reshape(op.And(op.Not(stays), op.Or(kept, mask_after)), shape)
    b.result(f"{layer.name}.next", op.Where(touched, 0.0, weight), FLOAT, shape)
    b.result(f"{mask_name(layer.name)}.next", new_mask, FLOAT, shape)
    for name in states:
        state = b.state(name, FLOAT, shape, Role.OPTIMIZER)
        b.result(f"{name}.next", op.Where(touched, 0.0, state), FLOAT, shape)
    if gradient_masks:
        b.result(f"{gradient_mask_name(layer.name)}.next", new_mask, FLOAT, shape)
