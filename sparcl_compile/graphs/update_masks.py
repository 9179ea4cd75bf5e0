"""Mask update: remove the least important weights, and grow others at random (TDM) or by their gradients."""

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.graphs import choose_masks
from sparcl_compile.graphs.builder import FLOAT, INT64, UINT32, Builder
from sparcl_compile.graphs.exchange import Update, exchange
from sparcl_compile.graphs.hash import Stream, numbered, words
from sparcl_compile.graphs.hash import key as chained
from sparcl_compile.graphs.layer_body import LayerCalls
from sparcl_compile.graphs.masks import MaskedLayer, Rule, Scores, scores_of
from sparcl_compile.graphs.storage import Compressed, Masked, Stored, storage
from sparcl_compile.interface.names import Role, gradient_mask_name

REMOVE_TO, GROW_TO, LAYER_KEY = "remove_to", "grow_to", "layer_key"


def build(
    layers: Sequence[MaskedLayer],
    optimizer_states: Mapping[str, Sequence[str]],
    rule: Rule,
    gradient_masks: bool,
) -> ir.Model:
    """Make the graph ``update_masks`` for L layers.

    Inputs: ``key`` int64 [3] (seed, mask updates so far; the third word is not read, the layer's index stands for it),
    ``remove_to`` and ``grow_to`` int64 [L]; for each weight W the state ``W.g1`` and ``W.g2`` float32, W, its mask and
    its optimizer states. Results: ``.next`` of W, its mask, its optimizer states and, when asked for, its gradient
    mask. A layer with ``places`` has ``W.index`` and ``W.rows`` in the mask's stead and stores all else in [K]: the
    result is what the masked layer would give (docs/algorithm.md, Compressed weights). Where gradients
    of all its weights are measured, ``W.g1`` and ``W.g2`` are [n], in the order of the places. The two can be mixed.

    Counts are of the layer's groups and hold exactly: ``min(kept, remove_to)`` stay, then ``grow_to`` are kept if there
    were fewer. Under N:M they are of weights, and each group grows what it lacks, whatever ``grow_to`` says.

    Under a rule with ``decay`` it is what ``choose_masks`` makes, with another feed.

    Each layer is one call of a function, which the layers that are computed alike share.

    Args:
        layers: the masked and the compressed weights, in the manifest's order.
        optimizer_states: names of the optimizer states of each weight, by its name; a weight may be missing.
        rule: the scores by which weights are removed and grown.
        gradient_masks: also set each gradient mask to the new mask.
    """
    if rule.decay is not None:
        return choose_masks.build(layers, rule.decay)
    b = Builder("update_masks", "Keep the remove_to most important weights of a layer, then grow to grow_to at random.")
    seed, updates = words(b, b.feed("key", INT64, [3]), 2)
    number = len(layers)
    counts = [b.parts(b.feed(name, INT64, [number]), number) for name in (REMOVE_TO, GROW_TO)]
    keys = b.parts(numbered(b, number, chained(b, seed, Stream.GROW, updates)), number)

    def build_layer(inner: Builder, layer: MaskedLayer, states: Sequence[str]) -> None:
        remove_to, grow_to = (inner.op.Squeeze(inner.feed(name, INT64, [1])) for name in (REMOVE_TO, GROW_TO))
        key = inner.feed(LAYER_KEY, UINT32, [1])
        weight = inner.state(layer.name, FLOAT, layer.stored, Role.PARAMETER)
        stored = storage(inner, layer)
        importance, gradient = _full_scores(inner, layer, weight, stored, rule)
        update = Update(stored.kept, importance, remove_to, grow_to, key, gradient)
        after = stored.after(*exchange(inner, layer.groups, update))
        weight_after = after.carry(weight)
        weight_after = scaled(inner, weight, weight_after) if rule.same_norm else weight_after
        inner.result(f"{layer.name}.next", weight_after, FLOAT, layer.stored)
        _results(inner, layer, after, states, gradient_masks)

    calls = LayerCalls(b, "update_layer", build_layer)
    for layer, remove_to, grow_to, key in zip(layers, *counts, keys, strict=True):
        given = {REMOVE_TO: remove_to, GROW_TO: grow_to, LAYER_KEY: key}
        calls.call(layer, optimizer_states.get(layer.name, ()), given)
    return b.model()


def _full_scores(b: Builder, layer: MaskedLayer, weight: ir.Value, stored: Masked | Compressed, rule: Rule) -> Scores:
    """The scores of all weights (float32 [n]): of those that are stored, and where they are measured of the others."""
    weight, full = (stored.spread(weight), stored.in_order_of_weight) if layer.all_measured else (weight, stored.full)
    importance, gradient = scores_of(b, layer, weight, rule)
    return full(importance), None if gradient is None else full(gradient)


def scaled(b: Builder, before: ir.Value, after: ir.Value) -> ir.Value:
    """The weights ``after`` with the norm of those ``before``: rule 2 of ``scale_by_density`` on a whole layer."""
    op = b.op
    with b.scope("norm"):
        norms = [op.ReduceSum(op.Mul(w, w), keepdims=0) for w in (before, after)]
        # All scores can be 0 with all kept weights at 0: nothing has a norm to give.
        gain = op.Where(op.Greater(norms[1], 0.0), op.Sqrt(op.Div(norms[0], norms[1])), 1.0)
        return op.Mul(after, gain)


def _results(b: Builder, layer: MaskedLayer, after: Stored, states: Sequence[str], gradient_masks: bool) -> None:
    for new in after.state:
        b.result(f"{new.name}.next", new.value, new.dtype, new.shape)
    for name in states:
        state = b.state(name, FLOAT, layer.stored, Role.OPTIMIZER)
        b.result(f"{name}.next", after.carry(state), FLOAT, layer.stored)
    if gradient_masks:
        b.result(f"{gradient_mask_name(layer.name)}.next", after.flags, FLOAT, layer.stored)
