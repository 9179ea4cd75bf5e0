"""Measuring gradients, and calling the graphs that update the masks."""

from collections.abc import Sequence

import numpy as np

from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.names import Role
from sparcl_compile.interface.schedule import MaskUpdate
from sparcl_compile.runtime.driver.batches import Batch, merge
from sparcl_compile.runtime.session.backend import ort
from sparcl_compile.runtime.session.engine import Engine, device_copy
from sparcl_compile.runtime.session.tensors import pages

Gradients = dict[str, ort.OrtValue]


class MaskKeeper:
    """Mask updates (TDM) and gradient mask updates (DGM) of one run.

    Attributes:
        stale: whether the masks changed since the gradient masks were made.
    """

    def __init__(self, engine: Engine, manifest: Manifest, seed: int) -> None:
        self._engine = engine
        self._recipe = manifest.recipe
        self._schedule = manifest.schedule
        self._weights = manifest.weights
        self._merged = manifest.replay.merged
        # A training graph that moves the parameters, or computes some rows of the gradients only, cannot measure.
        self._graph = "measure" if "measure" in manifest.graphs else "train"
        accumulators = {*engine.names(Role.GRADIENT), *(weight.accumulator for weight in manifest.weights)}
        self._accumulators = [one for one in manifest.graphs[self._graph].inputs if one.name in accumulators]
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
        first, second = self._measured = (self._zeros(), self._zeros())
        if self._recipe.merge_gradients:
            self._accumulate(first, [merge([current, *replay])] if self._merged else [current, *replay])
            return
        self._accumulate(first, [single_head if self._recipe.single_head else current])
        if replay:
            self._accumulate(second, [merge(replay)] if self._merged else replay)

    def update_masks(self, update: MaskUpdate, measured: bool) -> None:
        """Run one mask update of the schedule; without a measurement the gradients count as zero."""
        if not measured:
            self._measured = None
        levels = self._schedule.levels
        feeds = {
            "key": np.array([self._seed, self.updates, 0], np.int64),
            "remove_to": np.array(levels[update.remove_to], np.int64),
            "grow_to": np.array(levels[update.grow_to], np.int64),
        }
        self._engine.run("update_masks", {**feeds, **self._spend()})
        self.updates += 1
        self.stale = True

    def update_gradient_masks(self) -> None:
        """Choose the gradients to use from the last measurement, which is used up."""
        keep = np.array(self._schedule.gradient_keep, np.int64)
        self._engine.run("update_gradient_masks", {"keep": keep, **self._spend()})
        self.stale = False

    def due(self, steps_in_task: int) -> bool:
        """Whether the gradient masks must be refreshed before this step."""
        every = self._schedule.gradient_refresh_steps
        return bool(every) and (self.stale or steps_in_task % every == 0)

    def _accumulate(self, gradients: Gradients, batches: Sequence[Batch]) -> None:
        whole = {**gradients, **self._whole_masks()}
        for index, batch in enumerate(batches):
            self._engine.run(self._graph, batch.feeds(index == 0), overrides=whole, commit=False)

    def _whole_masks(self) -> Gradients:
        """Gradient masks that let every kept weight through."""
        state = self._engine.state
        return {
            weight.gradient_mask: state[weight.mask] if weight.mask else self._ones(weight.gradient_mask)
            for weight in self._weights
            if weight.gradient_mask
        }

    def _ones(self, name: str) -> ort.OrtValue:
        """For a compressed weight, which has no mask; the gradient of its padding is 0 anyway."""
        if name not in self._all:
            self._all[name] = device_copy(np.ones_like(self._engine.array(name)))
        return self._all[name]

    def _zeros(self) -> Gradients:
        """Gradients of 0; each takes memory when it is measured."""
        arrays = {one.name: pages([int(n) for n in one.shape], one.dtype) for one in self._accumulators}
        return {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in arrays.items()}

    def _spend(self) -> dict[str, ort.OrtValue]:
        """The last measurement, zeros if there was none; its memory goes with the update that it is for."""
        first, second = self._measured or (self._zeros(), self._zeros())
        self._measured = None
        ones = {weight.g1: first[weight.accumulator] for weight in self._weights}
        return ones | {weight.g2: second[weight.accumulator] for weight in self._weights}
