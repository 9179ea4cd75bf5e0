"""The record of a run."""

import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .buffer import Buffer
from .network import Layers, MaskedNetwork


@dataclasses.dataclass(frozen=True)
class MaskSnapshot:
    """The masks after an update: how many optimizer steps had been done, in which task, the event's fraction."""

    step: int
    task: int
    fraction: Fraction
    masks: Layers


@dataclasses.dataclass
class Trace:
    """The course and the final state of a run.

    ``losses`` is the summed loss of every optimizer step, ``micro_losses`` the same by micro-step; ``sample_keep`` is a
    bool [S] for each task begun. The others stay empty without ``Config.record``: ``presented`` has the (task, sample
    ids) of every step and ``drawn`` the slots of its replay batches; ``mask_updates``, ``refreshes`` (steps done,
    gradient masks) and ``removals`` (steps done, task, kept samples) are copies.
    """

    network: MaskedNetwork
    buffer: Buffer
    losses: list[float] = dataclasses.field(default_factory=list)
    micro_losses: list[list[float]] = dataclasses.field(default_factory=list)
    mask_updates: list[MaskSnapshot] = dataclasses.field(default_factory=list)
    refreshes: list[tuple[int, Layers]] = dataclasses.field(default_factory=list)
    removals: list[tuple[int, int, NDArray[np.bool_]]] = dataclasses.field(default_factory=list)
    presented: list[tuple[int, NDArray[np.int64]]] = dataclasses.field(default_factory=list)
    drawn: list[list[NDArray[np.int64]]] = dataclasses.field(default_factory=list)
    sample_keep: list[NDArray[np.bool_]] = dataclasses.field(default_factory=list)
    samples_seen: int = 0

    @property
    def steps(self) -> int:
        """The number of optimizer steps done."""
        return len(self.losses)

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """Parameters and running statistics by state_dict name (= the names in the exported ONNX)."""
        return self.network.state()

    @property
    def masks(self) -> Layers:
        """The weight masks in the weights' shapes, bool."""
        return self._shaped(self.network.masks)

    @property
    def gradient_masks(self) -> Layers:
        """The gradient masks in the weights' shapes, bool."""
        return self._shaped(self.network.gradient_masks)

    def _shaped(self, layers: Layers) -> Layers:
        return {name: mask.reshape(self.network.weights[name].shape) for name, mask in layers.items()}
