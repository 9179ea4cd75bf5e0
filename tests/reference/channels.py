"""TDM on whole channels, a second time: on full tensors, element by element of an axis, without folding."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .hashing import stream
from .masks import Mask, importance, top

Array = NDArray[Any]
Unit = tuple[str, int] | None
"""The space and the number of the unit that an element of an axis belongs to."""


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor on channel axes.

    Attributes:
        units: by axis, the unit of each element.
        number: of a masked weight its place in the manifest, else None.
        produced: of a masked weight the axis along which it makes channels, if it has one with channels.
        fan_in: the kept elements that feed one element of that axis, at the level ``base``.
        fill: first value of a grown unit.
    """

    units: Mapping[int, Sequence[Unit]]
    number: int | None = None
    produced: int | None = None
    fan_in: int = 0
    fill: float = 0.0


def flags(units: Sequence[Unit], of_space: Mapping[str, Mask]) -> Mask:
    """The flags of units as flags of the elements of an axis."""
    return np.array([unit is None or bool(of_space[unit[0]][unit[1]]) for unit in units])


def everywhere(tensor: Tensor, shape: tuple[int, ...], of_space: Mapping[str, Mask]) -> Mask:
    """Flags of the elements whose flags are set on all axes; the tensor's shape."""
    found = np.ones(shape, bool)
    for axis, units in tensor.units.items():
        for element in np.flatnonzero(~flags(units, of_space)):
            np.moveaxis(found, axis, 0)[element] = False
    return found


def scores(
    tensors: Mapping[str, Tensor], values: Mapping[str, Array], alpha: float, beta: float, sizes: Mapping[str, int]
) -> dict[str, Array]:
    """CWI summed over the elements that read each unit; ``values`` holds ``W``, ``W.g1`` and ``W.g2``."""
    totals = {space: np.zeros(size) for space, size in sizes.items()}
    for name, tensor in tensors.items():
        if tensor.number is None:
            continue
        each = importance(values[name], values[f"{name}.g1"], values[f"{name}.g2"], alpha, beta)
        for axis, units in tensor.units.items():
            reading = [(e, unit) for e, unit in enumerate(units) if unit is not None and axis != tensor.produced]
            for element, (space, number) in reading:
                totals[space][number] += np.moveaxis(each, axis, 0)[element].sum(dtype=np.float64)
    return totals


def choose(
    kept: Mask, score: Array, remove_to: int, grow_to: int, seed: int, update: int, space: int
) -> tuple[Mask, Mask]:
    """The units that stay, and those kept in the end."""
    stays = top(score, kept, max(remove_to, 0)) if kept.sum() > remove_to else kept.copy()
    missing = max(grow_to - int(stays.sum()), 0)
    hashes = stream(seed, "grow", update, space, np.arange(kept.size))
    return stays, stays | top(hashes, ~stays, missing)


def next_value(
    tensor: Tensor, value: Array, stays: Mapping[str, Mask], after: Mapping[str, Mask], seed: int, update: int
) -> Array:
    """A parameter or running statistic after an update."""
    grown = {space: after[space] & ~stays[space] for space in after}
    carried = everywhere(tensor, value.shape, stays)
    made = np.where(carried, value, np.float32(0)).astype(np.float32)
    if tensor.number is None:
        made[everywhere(tensor, value.shape, after) & ~carried] = tensor.fill
    elif tensor.produced is not None:
        here = {a: u for a, u in tensor.units.items() if a == tensor.produced}
        others = {a: u for a, u in tensor.units.items() if a != tensor.produced}
        fresh = np.ones(value.shape, bool)
        for units, of_space in ((here, grown), (others, stays)):
            fresh &= everywhere(Tensor(units), value.shape, of_space)
        # An element of the axis without a unit has nothing that could have grown.
        blank = [u is None for u in tensor.units[tensor.produced]]
        np.moveaxis(fresh, tensor.produced, 0)[np.flatnonzero(blank)] = False
        made[fresh] = uniform(tensor, np.flatnonzero(fresh), seed, update)
    return made


def uniform(tensor: Tensor, elements: Array, seed: int, update: int) -> Array:
    """Numbers in [-b, b), b = sqrt(6 / fan_in), of the stream ``init``."""
    assert tensor.number is not None
    hashes = stream(seed, "init", update, tensor.number, elements)
    unit = (hashes >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
    return unit * np.float32(np.sqrt(6 / tensor.fan_in))
