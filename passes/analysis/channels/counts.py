"""Number of units that each space keeps at a density of the weights."""

import math
from collections.abc import Mapping, Sequence

from sparcl_compile.interface.channels import Segment
from sparcl_compile.interface.errors import FieldError
from sparcl_compile.passes.analysis.channels.spaces import Axes, Channels
from sparcl_compile.passes.schemes.density import count

HALVINGS = 60
"""Bisection to the last bits of a double."""


def unit_counts(channels: Channels, shapes: Mapping[str, Sequence[int]], density: float) -> dict[str, int]:
    """The kept units of each space, at least one: every space keeps the same share of its units.

    Args:
        channels: the spaces and their axes.
        shapes: full shapes of the masked weights, by name.
        density: share of these weights' elements that stays, in (0, 1].

    Raises:
        FieldError: the parts of the weights that no space lies on are more than that.
    """
    share = unit_share(channels, shapes, density)
    return {space.name: max(1, count(share, space.size)) for space in channels.spaces}


def unit_share(channels: Channels, shapes: Mapping[str, Sequence[int]], density: float) -> float:
    """The share of units with which the weights have this density; raises FieldError when none is small enough."""
    whole = sum(math.prod(shape) for shape in shapes.values())

    def weights_kept(share: float) -> float:
        return math.fsum(_elements(shape, channels.axes[name], share) for name, shape in shapes.items()) / whole

    fixed = weights_kept(0.0)
    if fixed > density:
        reached = f"whole channels reach {1.0 - fixed:.3f} on this model"
        problem = f"{reached}, the rest of its weights cannot be removed by channel"
        raise FieldError("sparsity", f"{1.0 - density:g}", problem, "ask for less or give another `scheme`")
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if weights_kept(middle) < density else (low, middle)
    return high


def _elements(shape: Sequence[int], axes: Axes, share: float) -> float:
    """The elements of a weight when every space keeps this share of its units."""
    parts = [
        math.fsum(one.length * (1.0 if one.space is None else share) for one in axes[axis]) if axis in axes else size
        for axis, size in enumerate(shape)
    ]
    return math.prod(parts)


def kept_shape(shape: Sequence[int], axes: Axes, counts: Mapping[str, int]) -> tuple[int, ...]:
    """The shape of a tensor on the kept units alone."""
    return tuple(
        sum(_kept_length(one, counts) for one in axes[axis]) if axis in axes else size
        for axis, size in enumerate(shape)
    )


def _kept_length(segment: Segment, counts: Mapping[str, int]) -> int:
    if segment.space is None:
        return segment.length
    return segment.outer * counts[segment.space] * segment.inner
