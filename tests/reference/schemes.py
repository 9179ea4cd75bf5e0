"""Schemes: which weights are removed and grown together, and how. A layer's groups are a table of flat indices.

One letter stands for an axis of the weight: ``o`` output, ``i`` input, ``k`` a position in the kernel, ``b`` one matrix
of several; torch's convolutions are ``oikk``, its linear layers ``oi``.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from . import masks
from .config import LayerCounts, Recipe
from .hashing import stream
from .masks import Floats, Mask, top
from .schedule import P_INTER, P_INTRA, layer_counts, rounded

Indices = NDArray[np.int64]

PATTERNS = ("110110000", "011011000", "000110110", "000011011", "010111000", "000111010", "010110010", "010011010")
"""The entries that a 3x3 kernel keeps, row by row."""


@dataclasses.dataclass(frozen=True)
class Groups:
    """``members`` [G, most members]: the flat indices of each group, ascending, -1 for those that it lacks.

    ``kind`` is single (weights of their own), whole, pattern or n:m; ``stay`` the N and M of the latter.
    """

    kind: str
    size: int
    members: Indices
    stay: tuple[int, int] | None = None


def groups_of(scheme: str, shape: Sequence[int], axes: str) -> Groups:
    """The groups of one weight, numbered by their first element."""
    size = int(np.prod(shape))
    at: dict[int, Indices] = dict(enumerate(np.indices(shape).reshape(len(shape), size)))
    conv = "k" in axes
    if scheme == "unstructured" or (scheme in ("kernel", "pattern") and not conv):
        return Groups("single", size, np.arange(size)[:, None])
    if scheme == "block4x1":
        at[axes.index("o")] = at[axes.index("o")] // 4
        return Groups("whole", size, _table(list(at.values())))
    if scheme in ("kernel", "pattern"):
        kind = "pattern" if scheme == "pattern" and tuple(shape[2:]) == (3, 3) else "whole"
        return Groups(kind, size, _table([at[0], at[1]]))
    n, m = (int(text) for text in scheme.split(":"))
    along = at.pop(axes.index("i"))
    for axis in range(2, len(shape)) if axes.startswith("oik") else ():
        along = along * shape[axis] + at.pop(axis)
    return Groups("n:m", size, _table([*at.values(), along // m]), (n, m))


def _table(keys: list[Indices]) -> Indices:
    """Elements with equal keys are one group."""
    found: dict[tuple[int, ...], list[int]] = {}
    for index, label in enumerate(zip(*(key.tolist() for key in keys), strict=True)):
        found.setdefault(label, []).append(index)
    table = np.full((len(found), max(map(len, found.values()))), -1)
    for row, indices in zip(table, found.values(), strict=True):
        row[: len(indices)] = indices
    return table


def sums(values: Floats, table: Indices) -> Floats:
    """The values at the indices of each row, added in float32: the second half to the first, until one is left."""
    width = 1
    while width < table.shape[1]:
        width *= 2
    chosen = np.zeros((len(table), width), np.float32)
    chosen[:, : table.shape[1]] = np.where(table >= 0, values[table], 0)
    while width > 1:
        width //= 2
        chosen = np.add(chosen[:, :width], chosen[:, width:], dtype=np.float32)
    result: Floats = chosen[:, 0]
    return result


def _elements(groups: Groups, chosen: Mask) -> Mask:
    flags = np.zeros(groups.size, dtype=bool)
    indices = groups.members[chosen]
    flags[indices[indices >= 0]] = True
    return flags


def _pattern(number: int) -> Mask:
    return np.array([entry == "1" for entry in PATTERNS[number]])


def room(groups: Groups) -> list[int]:
    """The number of weights of each group that stay under N:M: their share, and one at least."""
    n, m = groups.stay or (0, 1)
    present = (groups.members >= 0).sum(axis=1)
    return [max(1, int(np.floor(n * int(r) / m + 0.5))) for r in present]


def counts(groups: Groups, sparsity: float, gradient_sparsity: float, recipe: Recipe) -> LayerCounts:
    """The counts of one layer under a uniform distribution: groups, weights for n:m; size and update are weights."""
    single = layer_counts(groups.size, sparsity, gradient_sparsity, recipe)
    if groups.kind == "single":
        return single
    density = 1 - sparsity
    less = density - min(P_INTRA[recipe], density / 2)
    more = density + min(P_INTER[recipe], density / 2, 1 - density)
    if groups.kind == "n:m":
        base = sum(room(groups))
        shrunk = max(base - rounded((density - less) * groups.size), 0)
        return dataclasses.replace(single, base=base, shrunk=shrunk, grown=base)
    room_for = 4 / 9 if groups.kind == "pattern" else 1.0
    base, shrunk, grown = (rounded(min(share / room_for, 1.0) * len(groups.members)) for share in (density, less, more))
    return dataclasses.replace(single, base=base, shrunk=shrunk, grown=grown)


def initial_mask(groups: Groups, weight: Floats, base: int) -> Mask:
    """The first mask, by magnitude."""
    if groups.kind == "single":
        return masks.initial_mask(weight, base)
    size, everything = np.abs(weight), np.ones(len(groups.members), dtype=bool)
    if groups.kind == "whole":
        return _elements(groups, top(sums(size, groups.members), everything, base))
    mask = np.zeros(groups.size, dtype=bool)
    if groups.kind == "n:m":
        for members, many in zip(groups.members, room(groups), strict=True):
            inside = members[members >= 0]
            mask[inside] = top(size[inside], np.ones(inside.size, dtype=bool), many)
        return mask
    each = np.stack([sums(size, groups.members[:, _pattern(p)]) for p in range(len(PATTERNS))])
    kept = top(each.max(axis=0), everything, base)
    for kernel in np.flatnonzero(kept):
        mask[groups.members[kernel, _pattern(int(each[:, kernel].argmax()))]] = True
    return mask


def update_mask(
    groups: Groups, mask: Mask, scores: Floats | None, counts: tuple[int, int], key: tuple[int, int, int]
) -> tuple[Mask, Mask]:
    """Remove by score to ``counts[0]``, then grow to ``counts[1]`` by hash; scores None: nothing is removed.

    ``key`` is (seed, updates so far, layer). Returns the new mask and where a weight was removed or grown.
    """
    if groups.kind == "n:m":
        kept, new = _exchange_in_groups(groups, mask, scores, counts[0], key)
        return new, (mask & ~kept) | (new & ~kept)
    if groups.kind == "single":
        return masks.update_mask(mask, scores, *counts, *key)
    seed, update, layer = key
    before = (mask[groups.members] & (groups.members >= 0)).any(axis=1)
    after = before.copy()
    if scores is not None and before.sum() > counts[0]:
        after = top(sums(np.where(mask, scores, np.float32(0)), groups.members), before, counts[0])
    kept = mask & _elements(groups, after)
    missing = max(counts[1] - int(after.sum()), 0)
    hashes = stream(seed, "grow", update, layer, np.arange(len(after)))
    grown = top(hashes, ~after, missing)
    new = kept | _elements(groups, grown)
    if groups.kind == "pattern":
        new = kept.copy()
        for kernel in np.flatnonzero(grown):
            new[groups.members[kernel, _pattern(int(hashes[kernel]) % 8)]] = True
    return new, (mask & ~kept) | (new & ~kept)


def _exchange_in_groups(
    groups: Groups, mask: Mask, scores: Floats | None, remove_to: int, key: tuple[int, int, int]
) -> tuple[Mask, Mask]:
    seed, update, layer = key
    kept = mask.copy() if scores is None or mask.sum() <= remove_to else top(scores, mask, remove_to)
    new = kept.copy()
    hashes = stream(seed, "grow", update, layer, np.arange(groups.size))
    for members, many in zip(groups.members, room(groups), strict=True):
        inside = members[members >= 0]
        new[inside] |= top(hashes[inside], ~kept[inside], max(many - int(kept[inside].sum()), 0))
    return kept, new
