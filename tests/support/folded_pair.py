"""One model compiled with channel masks in both forms, trained side by side and compared on the full tensors."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sparcl_compile.interface.channels import Segment
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.passes.analysis.channels.spaces import kept_elements
from sparcl_compile.settings.options import CompileOptions
from tests.support.form import Form

MASKS = (".gradient_mask", ".mask")
STATES = (".momentum", ".exp_avg", ".exp_avg_sq")


class ChannelForm(Form):
    """An artifact with channel masks.

    The levels are one below and two below the places that the compiler gave, so that every update of a small model
    moves something.
    """

    def __init__(self, source: Path, target: Path, options: CompileOptions, places: Sequence[int] | None) -> None:
        self._asked = places
        super().__init__(source, target, options)

    def adapted(self, manifest: Manifest) -> Manifest:
        assert manifest.channels is not None
        self.channels = manifest.channels
        self.spaces = manifest.channels.spaces
        self.places = list(self._asked or (space.capacity for space in self.spaces))
        levels = {
            level: tuple(max(1, count - below) for count in self.places)
            for level, below in (("grown", 0), ("base", 1), ("shrunk", 2))
        }
        program = manifest.program
        vectors = {**program.vectors, **{f"level.{level}": counts for level, counts in levels.items()}}
        return dataclasses.replace(manifest, program=msgspec.structs.replace(program, vectors=vectors))

    def full(self, name: str) -> np.ndarray:
        """A state tensor scattered into its full shape, 0 where a unit is folded away or not kept."""
        array = np.array(self.engine.array(name))
        for axis, segments in self._axes(name).items():
            array = self._scattered(array, axis, segments)
        return array

    def _axes(self, name: str) -> Mapping[int, tuple[Segment, ...]]:
        for suffix in (*MASKS, *STATES):
            name = name.removesuffix(suffix)
        return self.channels.axes.get(name, {})

    def _scattered(self, array: np.ndarray, axis: int, segments: tuple[Segment, ...]) -> np.ndarray:
        chosen = {s.name: self.engine.array(f"channels.{s.name}.index") for s in self.spaces}
        live = {name: units[self.engine.array(f"channels.{name}.live") > 0] for name, units in chosen.items()}
        stored, kept = kept_elements(segments, chosen), kept_elements(segments, live)
        full = np.zeros([sum(s.length for s in segments), *np.delete(array.shape, axis)], array.dtype)
        full[stored] = np.moveaxis(array, axis, 0)
        pruned = np.setdiff1d(np.arange(len(full)), kept)
        full[pruned] = 0
        return np.moveaxis(full, 0, axis)

    def kept_units(self) -> dict[str, list[int]]:
        return {
            s.name: self.engine.array(f"channels.{s.name}.index")[
                self.engine.array(f"channels.{s.name}.live") > 0
            ].tolist()
            for s in self.spaces
        }


@dataclasses.dataclass(frozen=True)
class Pair:
    masked: ChannelForm
    folded: ChannelForm

    @property
    def forms(self) -> tuple[ChannelForm, ChannelForm]:
        return self.masked, self.folded


def pair(source: Path, folder: Path, **changed: Any) -> Pair:
    """Both forms of a model, at the same levels."""
    options = CompileOptions(**{"scheme": "channel", "sparsity": 0.75, "gradient_sparsity": 0.8, **changed})
    folded = ChannelForm(source, folder / "folded.sparcl", options, None)
    masked = ChannelForm(source, folder / "masked.sparcl", dataclasses.replace(options, fold=False), folded.places)
    return Pair(masked, folded)


def check_same(forms: Pair, tolerance: float = 1e-4) -> None:
    """Equal kept units, masks and gradient masks; weights, statistics and optimizer state to the tolerance."""
    masked, folded = forms.forms
    assert masked.kept_units() == folded.kept_units()
    engine = masked.engine
    for role in ("mask", "gradient_mask"):
        for name in engine.names(role):
            np.testing.assert_array_equal(folded.full(name), masked.full(name), err_msg=name)
    for role in ("parameter", "optimizer", "running_stat"):
        for name in engine.names(role):
            np.testing.assert_allclose(folded.full(name), masked.full(name), rtol=0, atol=tolerance, err_msg=name)
    for form in forms.forms:
        for name in engine.names("parameter"):
            stored = np.count_nonzero(form.engine.array(name))
            assert stored == np.count_nonzero(form.full(name)), f"{name} is not 0 where a unit is not kept"
