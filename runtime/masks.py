"""Measuring gradients, and calling the graphs that update the masks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sparcl_compile.runtime.backend import ort
from sparcl_compile.runtime.batches import Batch, merge
from sparcl_compile.runtime.engine import Engine, device_copy

Gradients = dict[str, ort.OrtValue]
ACCUMULATOR = "_grad.accumulation.buffer"
"""What a gradient's name has behind its parameter's."""


class MaskKeeper:
    """Mask updates (TDM) and gradient mask updates (DGM) of one run.

    Attributes:
        stale: whether the masks changed since the gradient masks were made.
    """

    def __init__(self, engine: Engine, manifest: dict[str, Any], seed: int) -> None:
        self._engine = engine
        self._recipe = manifest["recipe"]
        self._schedule = manifest["schedule"]
        self._layers: list[str] = [layer["weight"] for layer in manifest["masks"]]
        self._merged: bool = manifest["replay"]["merged"]
        # A training graph that moves the parameters, or computes some rows of the gradients only, cannot measure.
        self._graph = "measure" if "measure" in manifest["graphs"] else "train"
        self._seed = seed
        self._measured: tuple[Gradients, Gradients] | None = None
        self._all: Gradients = {}
        self.updates = 0
        self.stale = False

    def measure(self, current: Batch, single_head: Batch, replay: Sequence[Batch]) -> None:
        """Take the gradients g1 and g2 of docs/algorithm.md on these batches; no state changes.

        Args:
            current: the current batch as it is trained.
            single_head: the same with the other tasks' classes masked out.
            replay: the replay batches.
        """
        first, second = self._buffers()
        if self._recipe["merge_gradients"]:
            self._accumulate(first, [merge([current, *replay])] if self._merged else [current, *replay])
            _zero(second)
            return
        self._accumulate(first, [single_head if self._recipe["single_head"] else current])
        if replay:
            self._accumulate(second, [merge(replay)] if self._merged else replay)
        else:
            _zero(second)

    def update_masks(self, update: dict[str, Any], measured: bool) -> None:
        """Run one mask update of the schedule; without a measurement the gradients count as zero."""
        if not measured:
            for gradients in self._buffers():
                _zero(gradients)
        levels = self._schedule["levels"]
        feeds: dict[str, Any] = {
            "key": np.array([self._seed, self.updates, 0], np.int64),
            "remove_to": np.array(levels[update["remove_to"]], np.int64),
            "grow_to": np.array(levels[update["grow_to"]], np.int64),
        }
        self._engine.run("update_masks", {**feeds, **self._gradient_feeds()})
        self.updates += 1
        self.stale = True

    def update_gradient_masks(self) -> None:
        """Choose the gradients to use from the last measurement."""
        keep = np.array(self._schedule["gradient_keep"], np.int64)
        self._engine.run("update_gradient_masks", {"keep": keep, **self._gradient_feeds()})
        self.stale = False

    def due(self, steps_in_task: int) -> bool:
        """Whether the gradient masks must be refreshed before this step."""
        every = self._schedule["gradient_refresh_steps"]
        return bool(every) and (self.stale or steps_in_task % every == 0)

    def _accumulate(self, gradients: Gradients, batches: Sequence[Batch]) -> None:
        whole = {**gradients, **self._whole_masks()}
        for index, batch in enumerate(batches):
            self._engine.run(self._graph, batch.feeds(index == 0), overrides=whole, commit=False)

    def _whole_masks(self) -> Gradients:
        """Gradient masks that let every kept weight through."""
        state = self._engine.state
        return {
            name: state[f"{w}.mask"] if f"{w}.mask" in state else self._ones(name)
            for w in self._layers
            if (name := f"{w}.gradient_mask") in state
        }

    def _ones(self, name: str) -> ort.OrtValue:
        """For a compressed weight, which has no mask; the gradient of its padding is 0 anyway."""
        if name not in self._all:
            self._all[name] = device_copy(np.ones_like(self._engine.array(name)))
        return self._all[name]

    def _buffers(self) -> tuple[Gradients, Gradients]:
        if self._measured is None:
            arrays = {name: self._engine.array(name) for name in self._engine.names("parameter")}
            zeros = [{n + ACCUMULATOR: device_copy(np.zeros_like(a)) for n, a in arrays.items()} for _ in range(2)]
            self._measured = (zeros[0], zeros[1])
        return self._measured

    def _gradient_feeds(self) -> dict[str, ort.OrtValue]:
        first, second = self._buffers()
        return {f"{w}.g{i}": g[w + ACCUMULATOR] for w in self._layers for i, g in ((1, first), (2, second))}


def _zero(gradients: Gradients) -> None:
    for value in gradients.values():
        value.update_inplace(np.zeros(value.shape(), np.float32))
