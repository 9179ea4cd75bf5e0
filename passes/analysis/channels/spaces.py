"""Channel spaces: sets of units (channels, heads, groups) whose members lie along axes of several tensors.

Removing a unit removes its elements from every axis that the space lies on, and leaves a graph that computes the same
as the one in which those elements are zero. ``analyse`` finds the spaces, ``shrink`` removes units.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from sparcl_compile.interface.channels import Segment, Stop


@dataclasses.dataclass(frozen=True)
class Space:
    """A set of units that lie on the same axes; ``size`` is their number."""

    name: str
    size: int


Axes = Mapping[int, tuple[Segment, ...]]
"""Axis number to its segments, which cover it without gaps; only axes that a space lies on."""


@dataclasses.dataclass(frozen=True)
class Channels:
    """The units that can be removed from a graph.

    Attributes:
        spaces: in the order of the first weight that produces them.
        axes: by name of a parameter, running statistic or other initializer.
        produced: by name of a Conv, Gemm or MatMul weight the axis along which it produces units, removable or not:
            0 for Conv (depthwise too), the output axis of Gemm and MatMul.
        fills: by name of a tensor of ``axes`` that is no such weight and no constant, what a unit starts with when it
            is grown: 1 for a normalisation's scale and variance and for other factors, 0 for everything else.
        stops: what could not be proven, one entry a cause.
        lengths: constants that hold lengths (a Reshape's target, a Split's sizes), by node name and input number: entry
            to the part of an axis that it is the length of.
    """

    spaces: tuple[Space, ...]
    axes: Mapping[str, Axes]
    produced: Mapping[str, int]
    fills: Mapping[str, float]
    stops: tuple[Stop, ...]
    lengths: Mapping[tuple[str, int], Axes] = dataclasses.field(default_factory=dict)

    def reading(self, weight: str) -> Axes:
        """The axes along which a weight reads units, and does not produce them; none for a weight on no space."""
        axes = self.axes.get(weight, {})
        return {axis: segments for axis, segments in axes.items() if axis != self.produced.get(weight)}

    def size(self, space: str) -> int:
        """The number of units of a space."""
        return next(one.size for one in self.spaces if one.name == space)


def kept_elements(segments: Sequence[Segment], keep: Mapping[str, np.ndarray]) -> np.ndarray:
    """The element indices, int64 ascending within each segment, that stay along an axis.

    Args:
        segments: the axis.
        keep: by space the units that stay, int64 ascending; a space that is missing stays whole.
    """
    parts = []
    for one in segments:
        units = np.arange(one.units) if one.space is None else np.asarray(keep.get(one.space, np.arange(one.units)))
        outer, inner = np.arange(one.outer)[:, None, None], np.arange(one.inner)[None, None, :]
        parts.append((one.start + (outer * one.units + units[None, :, None]) * one.inner + inner).reshape(-1))
    return np.concatenate(parts).astype(np.int64)


def elements_by_space(data: np.ndarray, axis: int, segments: Sequence[Segment]) -> Iterator[tuple[str, np.ndarray]]:
    """The elements of an array on each segment of an axis that is of a space: [outer, units, inner, other axes]."""
    rows = np.moveaxis(data, axis, 0)
    for one in segments:
        if one.space is not None:
            part = rows[one.start : one.start + one.length]
            yield one.space, part.reshape(one.outer, one.units, one.inner, -1)


def element_flags(segments: Sequence[Segment], flags: Mapping[str, np.ndarray]) -> np.ndarray:
    """Flags of units (bool, by space) as flags of the elements of an axis: bool [length]; no space means True."""
    parts = []
    for one in segments:
        units = np.ones(one.units, bool) if one.space is None else flags.get(one.space, np.ones(one.units, bool))
        parts.append(np.tile(np.repeat(units, one.inner), one.outer))
    return np.concatenate(parts)
