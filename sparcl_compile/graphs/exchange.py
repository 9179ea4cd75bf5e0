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
    """

    kept: ir.Value
    importance: ir.Value
    remove_to: ir.Value
    grow_to: ir.Value
    key: ir.Value


def exchange(b: Builder, cut: Cut, update: Update) -> Flags:
    """The rule of docs/algorithm.md, Masks, for the layer's scheme."""
    return RULES[type(cut)](b, cut, update)


def _whole(b: Builder, cut: Cut, update: Update) -> Flags:
    if cut.runs.size == 1:
        stays = stays_after_removal(b, update.kept, update.importance, update.remove_to)
        return stays, grow_at_random(b, stays, update.grow_to, update.key)
    stays = _groups_that_stay(b, cut, update)
    after = grow_at_random(b, stays, update.grow_to, update.key)
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
        # Distinct indices have distinct hashes; entries that are used or missing come last and are never chosen.
        unused = split(b, op.Where(stays, -1, hashes), runs, -1)
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
        sums = total(b, split(b, op.Where(update.kept, update.importance, 0.0), runs, 0.0), runs.size)
        members = split(b, b.cast(update.kept, FLOAT), runs, 0.0)
        kept = op.Greater(flat(b, op.ReduceMax(members, [2], keepdims=0)), 0.0)
    return stays_after_removal(b, kept, flat(b, sums), update.remove_to)


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
