"""Mask update (TDM): remove the least important weights, grow others at random."""

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.exchange import Update, exchange
from sparcl_compile.graphs.hash import Stream, words
from sparcl_compile.graphs.hash import key as chained
from sparcl_compile.graphs.masks import MaskedLayer, element, importance_of
from sparcl_compile.graphs.storage import Stored, storage
from sparcl_compile.interface.names import Role, gradient_mask_name


def build(
    layers: Sequence[MaskedLayer],
    optimizer_states: Mapping[str, Sequence[str]],
    alpha: float,
    beta: float,
    gradient_masks: bool,
) -> ir.Model:
    """Make the graph ``update_masks`` for L layers.

    Inputs: ``key`` int64 [3] (seed, mask updates so far; the third word is not read, the layer's index stands for it),
    ``remove_to`` and ``grow_to`` int64 [L]; for each weight W the state ``W.g1`` and ``W.g2`` float32, W, its mask and
    its optimizer states. Results: ``.next`` of W, its mask, its optimizer states and, when asked for, its gradient
    mask. A layer with ``places`` has ``W.index`` and ``W.rows`` in the mask's stead and stores all else in [K]: the
    result is what the masked layer would give (docs/algorithm.md, Compressed weights). The two can be mixed.

    Counts are of the layer's groups and hold exactly: ``min(kept, remove_to)`` stay, then ``grow_to`` are kept if there
    were fewer. Under N:M they are of weights, and each group grows what it lacks, whatever ``grow_to`` says.

    Args:
        layers: the masked and the compressed weights, in the manifest's order.
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
            weight = b.state(layer.name, FLOAT, layer.stored, Role.PARAMETER)
            stored = storage(b, layer)
            importance = stored.full(importance_of(b, layer, weight, alpha, beta))
            update = Update(stored.kept, importance, remove_to, grow_to, run_key, number)
            after = stored.after(*exchange(b, layer.groups, update))
            states = optimizer_states.get(layer.name, ())
            _results(b, layer, weight, after, states, gradient_masks)
    return b.model()


def _results(
    b: Builder, layer: MaskedLayer, weight: ir.Value, after: Stored, states: Sequence[str], gradient_masks: bool
) -> None:
    b.result(f"{layer.name}.next", after.carry(weight), FLOAT, layer.stored)
    for new in after.state:
        b.result(f"{new.name}.next", new.value, new.dtype, new.shape)
    for name in states:
        state = b.state(name, FLOAT, layer.stored, Role.OPTIMIZER)
        b.result(f"{name}.next", after.carry(state), FLOAT, layer.stored)
    if gradient_masks:
        b.result(f"{gradient_mask_name(layer.name)}.next", after.flags, FLOAT, layer.stored)
