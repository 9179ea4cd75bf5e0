"""The channel masks of one model: the spaces, the weights on them, and the units that are kept at first."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.channels import Segment
from sparcl_compile.passes.analysis.channels.spaces import Channels
from sparcl_compile.passes.core.marks import PLAN_KEY

Units = Mapping[str, np.ndarray]
"""By space the numbers of some of its units, int64 ascending."""


@dataclasses.dataclass(frozen=True)
class ChannelPlan:
    """The channel masks of one model.

    Attributes:
        channels: what can be removed, on the full graph.
        weights: the masked weights in layer order.
        shapes: the full shape of every tensor in ``channels.axes``.
        kept: the units of the first masks.
        chosen: the units that have a place in the tensors: all of them before folding, then as many as a mask update
            may ever keep.
    """

    channels: Channels
    weights: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]
    kept: Units
    chosen: Units

    @property
    def counts(self) -> dict[str, int]:
        """By space how many units the first masks keep: one number, so that a folded tensor is never larger."""
        return {space.name: len(self.kept[space.name]) for space in self.channels.spaces}

    def capacity(self, space: str) -> int:
        """Number of units of a space that have a place in the tensors."""
        return len(self.chosen[space])

    @property
    def folded(self) -> bool:
        """Whether a tensor is smaller than in the model that was compiled."""
        return any(self.capacity(space.name) < space.size for space in self.channels.spaces)

    def with_places(self, places: Mapping[str, int]) -> "ChannelPlan":
        """The same masks with so many places in each space: for the kept units, and the lowest of the others."""
        chosen = {
            space.name: with_padding(self.kept[space.name], places[space.name], space.size)
            for space in self.channels.spaces
        }
        return dataclasses.replace(self, chosen=chosen)

    def compact(self, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        """The segments of an axis as they lie in the stored tensors."""
        made, start = [], 0
        for one in segments:
            units = one.units if one.space is None else self.capacity(one.space)
            made.append(dataclasses.replace(one, start=start, units=units))
            start += made[-1].length
        return tuple(made)

    def stored_shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor of ``shapes`` as it is stored."""
        shape = list(self.shapes[name])
        for axis, segments in self.channels.axes[name].items():
            shape[axis] = sum(one.length for one in self.compact(segments))
        return tuple(shape)

    def state(self) -> dict[str, np.ndarray]:
        """The state tensors of the spaces: ``index`` int64 [K], ascending, and ``live`` float32 [K], 0 for padding."""
        made: dict[str, np.ndarray] = {}
        for space in self.channels.spaces:
            chosen = self.chosen[space.name]
            made[index_name(space.name)] = chosen
            made[live_name(space.name)] = np.isin(chosen, self.kept[space.name]).astype(np.float32)
        return made


def with_padding(kept: np.ndarray, capacity: int, size: int) -> np.ndarray:
    """The kept units and the lowest of the others, ``capacity`` in all or as many as are kept: int64 ascending."""
    others = np.setdiff1d(np.arange(size), kept)
    return np.sort(np.concatenate([kept, others[: max(0, capacity - len(kept))]]))


def index_name(space: str) -> str:
    """The state tensor with the full number of each stored unit."""
    return f"channels.{space}.index"


def live_name(space: str) -> str:
    """The state tensor with 1 for each stored unit that is kept and 0 for padding."""
    return f"channels.{space}.live"


def set_plan(model: ir.Model, plan: ChannelPlan) -> None:
    """Attach a plan to a model; a clone of the model has it as well."""
    model.graph.meta[PLAN_KEY] = plan


def plan_of(model: ir.Model) -> ChannelPlan | None:
    """The plan of a model with channel masks, or None."""
    plan = model.graph.meta.get(PLAN_KEY)
    return plan if isinstance(plan, ChannelPlan) else None
