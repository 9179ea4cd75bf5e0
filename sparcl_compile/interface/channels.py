"""Channel spaces as the manifest holds them: units that come and go together, and where they lie."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Segment:
    """A contiguous part of an axis: ``outer`` repetitions of ``units`` units of ``inner`` elements each.

    Element ``start + (o * units + u) * inner + i`` belongs to unit ``u``. A plain channel axis has outer = inner = 1;
    flattening [C, H, W] gives inner = H * W, flattening [H, W, C] gives outer = H * W, heads of a fused QKV projection
    give outer = 3 and inner = the size of a head. A part that cannot be removed has no space, and units = its length.
    """

    start: int
    space: str | None
    units: int
    outer: int = 1
    inner: int = 1

    @property
    def length(self) -> int:
        """Number of elements."""
        return self.outer * self.units * self.inner


@dataclasses.dataclass(frozen=True)
class Stop:
    """The reason why the channels of some weights cannot be removed.

    Attributes:
        node: the name of the node that stopped it, or of the weight for ``--dense``.
        op_type: its operator, or an empty string.
        reason: a few words: ``mixes all channels``, ``the classes``, ``--dense``, ...
        weights: the names of the weights with an axis that stays whole because of it, in layer order.
    """

    node: str
    op_type: str
    reason: str
    weights: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class SpaceSpec:
    """A space of units.

    Attributes:
        name: of the first weight that produces its units.
        size: how many units there are.
        base: how many of them are usually kept.
        capacity: how many have a place in the stored tensors.
        members: the masked weights that lose rows or columns with its units, in layer order.
    """

    name: str
    size: int
    base: int
    capacity: int
    members: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ChannelSpec:
    """The channel masks of a model (scheme ``channel``).

    Attributes:
        folded: whether a stored tensor is smaller than in the model that was compiled.
        spaces: in the order of the schedule's counts.
        axes: by tensor and axis the segments of the full tensor, which cover the axis.
        stops: one entry for each cause that keeps channels whole.
    """

    folded: bool
    spaces: tuple[SpaceSpec, ...]
    axes: Mapping[str, Mapping[int, tuple[Segment, ...]]]
    stops: tuple[Stop, ...]
