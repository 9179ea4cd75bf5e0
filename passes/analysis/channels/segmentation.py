"""Units to spaces, and axes to segments: what lies on the same axes and can be written as outer x units x inner."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from sparcl_compile.interface.channels import Segment
from sparcl_compile.passes.analysis.channels.labels import Cause, Components

STAYS = -1


@dataclasses.dataclass
class Layout:
    """Spaces by number, in the order of the axes that were given.

    Attributes:
        space: the space of a component, int64 [components], STAYS for one that stays.
        unit: the component's number within its space, int64 [components].
        sizes: units of each space.
    """

    space: np.ndarray
    unit: np.ndarray
    sizes: list[int]

    def segments(self, components: np.ndarray) -> list[tuple[int, Segment]] | None:
        """An axis (its components [length]) as segments, each with the number of its space; None if it is irregular.

        The segments have no names yet.
        """
        spaces, units = self.space[components], self.unit[components]
        found: list[tuple[int, Segment]] = []
        place = 0
        while place < len(components):
            space = int(spaces[place])
            run = run_length(spaces[place:])
            if space == STAYS:
                found.append((space, Segment(place, None, run)))
                place += run
                continue
            one = self._segment(units[place : place + run], place, self.sizes[space])
            if one is None:
                return None
            found.append((space, one))
            place += one.length
        return found

    def _segment(self, units: np.ndarray, start: int, size: int) -> Segment | None:
        """The longest segment at the beginning of a run of one space, None if it is irregular."""
        inner = run_length(units)
        period = size * inner
        expected = np.repeat(np.arange(size), inner)
        outer = 0
        while np.array_equal(units[outer * period : (outer + 1) * period], expected):
            outer += 1
        return Segment(start, None, size, outer, inner) if outer else None


def run_length(values: np.ndarray) -> int:
    """Number of equal values that an array begins with."""
    other = np.flatnonzero(values != values[0])
    return int(other[0]) if len(other) else len(values)


def lay_out(components: Components, axes: Sequence[np.ndarray], names: Sequence[Cause]) -> Layout:
    """Find the spaces; whatever gives an irregular axis is blocked in ``components``, until nothing does.

    Args:
        components: the units; blocked ones are left alone.
        axes: the labels of every axis in the graph, those that name spaces first.
        names: what to say of an axis that is irregular, or that a space of a single unit begins on.
    """
    of_axes = [components.of_label[labels] for labels in axes]
    while True:
        layout = spaces_of(components, of_axes)
        found = [
            (blocked, dataclasses.replace(cause, reason=reason))
            for axis, cause in zip(of_axes, names, strict=True)
            for blocked, reason in irregular(layout, axis)
        ]
        if not found:
            return layout
        for blocked, cause in found:
            components.keep(blocked, cause)


def irregular(layout: Layout, axis: np.ndarray) -> Iterator[tuple[np.ndarray, str]]:
    """Units that have to stay because of an axis, with the reason."""
    spaces = layout.space[axis]
    single = np.asarray([space for space in np.unique(spaces) if space != STAYS and layout.sizes[space] == 1])
    if len(single):
        yield np.unique(axis[np.isin(spaces, single)]), "all of it is one unit"
    for space in np.unique(spaces[spaces != STAYS]) if layout.segments(axis) is None else ():
        alone = dataclasses.replace(layout, space=np.where(layout.space == space, space, STAYS))
        if alone.segments(axis) is None:
            yield np.unique(axis[spaces == space]), "an irregular layout"


def spaces_of(components: Components, axes: Sequence[np.ndarray]) -> Layout:
    """Components with the same number of elements on every axis form a space, ordered by first appearance."""
    number = len(components.stays)
    free = components.stays == len(components.causes)
    everything = np.concatenate(axes) if axes else np.zeros(0, np.int64)
    of_axis = np.repeat(np.arange(len(axes)), [len(axis) for axis in axes])
    codes, counts = np.unique(everything * max(len(axes), 1) + of_axis, return_counts=True)
    present, firsts = np.unique(everything, return_index=True)
    starts = np.searchsorted(codes, present * len(axes))
    ends = np.searchsorted(codes, (present + 1) * len(axes))
    signatures = np.stack([codes % max(len(axes), 1), counts], axis=1)
    layout = Layout(np.full(number, STAYS), np.zeros(number, np.int64), [])
    seen: dict[bytes, int] = {}
    for index in np.argsort(firsts):
        component = present[index]
        if not free[component]:
            continue
        key = signatures[starts[index] : ends[index]].tobytes()
        space = seen.setdefault(key, len(seen))
        if space == len(layout.sizes):
            layout.sizes.append(0)
        layout.space[component], layout.unit[component] = space, layout.sizes[space]
        layout.sizes[space] += 1
    return layout


def named(segments: Sequence[tuple[int, Segment]], names: Mapping[int, str]) -> tuple[Segment, ...]:
    """Segments with the names of their spaces."""
    return tuple(dataclasses.replace(one, space=names.get(space)) for space, one in segments)
