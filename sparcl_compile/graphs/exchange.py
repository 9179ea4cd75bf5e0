"""Removing the least important groups of a weight and growing others at random: one rule for each kind of cut."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from sparcl_compile.graphs.builder import BOOL, FLOAT, Builder
from sparcl_compile.graphs.groups import indices, join, split, spread, total
from sparcl_compile.graphs.hash import elements
from sparcl_compile.graphs.masks import NOT_KEPT, flat
from sparcl_compile.graphs.selection import flags, largest
from sparcl_compile.passes.schemes.cuts import PATTERN_FLAGS, Cut, NOfM, Patterns, Whole

LOW_BITS = 8
"""The bits of a hash that a float32 has no room for."""
Flags = tuple[ir.Value, ir.Value]
"""Flags of the elements that stay, and of those that are kept in the end: bool [n] each."""


@dataclasses.dataclass(frozen=True)
class Update:
    """The inputs of the update of a layer's mask; n elements.

    Attributes:
        kept: bool [n].
        importance: float32 [n], from 0.
        remove_to: int64 [].
        grow_to: int64 [].
        key: uint32 [1], the growth stream of this layer in this update.
        gradient: float32 [n], from 0: what grows has the largest; None where what grows is drawn.
    """

    kept: ir.Value
    importance: ir.Value
    remove_to: ir.Value
    grow_to: ir.Value
    key: ir.Value
    gradient: ir.Value | None = None


def exchange(b: Builder, cut: Cut, update: Update) -> Flags:
    """The rule of docs/algorithm.md, Masks, for the layer's scheme."""
    return RULES[type(cut)](b, cut, update)


def _whole(b: Builder, cut: Cut, update: Update) -> Flags:
    if cut.runs.size == 1:
        stays = stays_after_removal(b, update.kept, update.importance, update.remove_to)
        return stays, _grow(b, stays, update, update.gradient)
    stays = _groups_that_stay(b, cut, update)
    sums = None if update.gradient is None else flat(b, _sums(b, cut, update.gradient))
    after = _grow(b, stays, update, sums)
    return spread(b, stays, cut.runs), spread(b, after, cut.runs)


def _patterns(b: Builder, cut: Cut, update: Update) -> Flags:
    op = b.op
    stays = _groups_that_stay(b, cut, update)
    grown = op.And(grow_at_random(b, stays, update.grow_to, update.key), op.Not(stays))
    with b.scope("pattern"):
        number = op.Mod(elements(b, indices(b, cut.runs.count), update.key), len(PATTERN_FLAGS))
        drawn = b.cast(op.Gather(b.cast(op.Constant(value=ir.tensor(PATTERN_FLAGS)), FLOAT), number, axis=0), BOOL)
        old = op.And(update.kept, spread(b, stays, cut.runs))
        return old, op.Or(old, op.And(flat(b, drawn), spread(b, grown, cut.runs)))


def _n_of_m(b: Builder, cut: Cut, update: Update) -> Flags:
    if not isinstance(cut, NOfM):
        raise TypeError(f"{cut} is not N:M")
    op, runs = b.op, cut.runs
    stays = stays_after_removal(b, update.kept, update.importance, update.remove_to)
    hashes = elements(b, indices(b, runs.elements), update.key)
    with b.scope("grow"):
        left = split(b, b.cast(stays, FLOAT), runs, 0.0)
        quotas = ir.tensor(np.array(cut.quotas(), np.float32).reshape(1, -1, 1, 1))
        room = op.Sub(op.Constant(value=quotas), op.ReduceSum(left, [2], keepdims=1))
        # Distinct indices have distinct hashes, and ties of gradients go to the lower index. Entries that are used or
        # missing come last and are never chosen.
        if update.gradient is None:
            unused = split(b, op.Where(stays, -1, hashes), runs, -1)
        else:
            first = grown_first(b, update.gradient, hashes)
            unused = split(b, op.Where(stays, NOT_KEPT, first), runs, NOT_KEPT)
        order = b.top(unused, op.Constant(value_int=runs.size), largest=True, axis=2)[1]
        ranks = ir.tensor(np.arange(runs.size, dtype=np.float32).reshape(1, 1, -1, 1))
        wanted = op.Less(op.Constant(value=ranks), room)
        nothing = op.Less(unused, -1)
        chosen = op.ScatterElements(nothing, order, wanted, axis=2)
        return stays, op.Or(stays, join(b, chosen, runs))


RULES: Mapping[type[Cut], Callable[[Builder, Cut, Update], Flags]] = {
    Whole: _whole,
    Patterns: _patterns,
    NOfM: _n_of_m,
}


def _groups_that_stay(b: Builder, cut: Cut, update: Update) -> ir.Value:
    op, runs = b.op, cut.runs
    with b.scope("groups"):
        # An element that is not kept counts 0: the entries outside of a kept kernel's pattern.
        sums = _sums(b, cut, op.Where(update.kept, update.importance, 0.0))
        members = split(b, b.cast(update.kept, FLOAT), runs, 0.0)
        kept = op.Greater(flat(b, op.ReduceMax(members, [2], keepdims=0)), 0.0)
    return stays_after_removal(b, kept, flat(b, sums), update.remove_to)


def _sums(b: Builder, cut: Cut, values: ir.Value) -> ir.Value:
    return total(b, split(b, values, cut.runs, 0.0), cut.runs.size)


def _grow(b: Builder, stays: ir.Value, update: Update, gradient: ir.Value | None) -> ir.Value:
    """The flags that are kept in the end, of elements or of groups, whose ``gradient`` is None where they are drawn."""
    if gradient is None:
        return grow_at_random(b, stays, update.grow_to, update.key)
    return grow_by_gradient(b, stays, gradient, update.grow_to, update.key)


def stays_after_removal(b: Builder, kept: ir.Value, importance: ir.Value, remove_to: ir.Value) -> ir.Value:
    """The ``remove_to`` most important of the kept elements, groups or units (bool [n]), at most all: bool [n]."""
    with b.scope("remove"):
        room = b.op.Min(b.count(kept), b.op.Max(remove_to, 0))
        return largest(b, b.op.Where(kept, importance, NOT_KEPT), room)


def grow_at_random(b: Builder, stays: ir.Value, grow_to: ir.Value, layer_key: ir.Value) -> ir.Value:
    """The elements that stay (bool [n]) and those with the largest hash, ``grow_to`` in all: bool [n]."""
    op = b.op
    with b.scope("grow"):
        unused = op.Reshape(op.NonZero(op.Not(stays)), [-1])
        wanted = op.Sub(grow_to, b.count(stays))
        room = op.Min(op.Max(wanted, 0), b.size(unused))
        # Distinct indices have distinct hashes, so the set does not depend on how TopK treats ties.
        _, best = b.top(elements(b, unused, layer_key), room, largest=True, in_order=False)
        return flags(b, stays, op.Gather(unused, best))


def grow_by_gradient(
    b: Builder, stays: ir.Value, gradient: ir.Value, grow_to: ir.Value, layer_key: ir.Value
) -> ir.Value:
    """The elements that stay (bool [n]) and those of the largest gradient, ``grow_to`` in all (ties: lower index)."""
    op = b.op
    with b.scope("grow"):
        hashes = elements(b, op.Range(0, b.size(stays), 1), layer_key)
        room = op.Min(op.Max(op.Sub(grow_to, b.count(stays)), 0), b.count(op.Not(stays)))
        free = op.Where(stays, NOT_KEPT, grown_first(b, gradient, hashes))
        return op.Or(stays, largest(b, free, room))


def grown_first(b: Builder, gradient: ir.Value, hashes: ir.Value) -> ir.Value:
    """The numbers by which weights or groups grow, the largest first: float32 [n], from 0.

    Where nothing was measured, as at the start of a task, all gradients are 0, and what grows is drawn by the 24 high
    bits of its hash, which float32 holds exactly.
    """
    op = b.op
    drawn = b.cast(op.Div(hashes, 1 << LOW_BITS), FLOAT)
    return op.Where(op.Greater(op.ReduceMax(gradient, keepdims=0), 0.0), gradient, drawn)
