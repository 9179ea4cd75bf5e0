"""Says why a run with data removal removed no sample."""

import itertools
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from sparcl_compile.interface.manifest import Manifest

LEAVES = {
    "paper": "presents it twice or more without a mistake",
    "reference-code": "presents it twice or more and the task, once right about it, never forgot it",
}
"""When a sample leaves, by the recipe whose score it has."""


def removal_note(manifest: Manifest, result: Mapping[str, Any]) -> str:
    """Return why no sample left; empty where samples left or removal is off.

    Args:
        manifest: of the artifact that learned.
        result: of the run.
    """
    ends = [Fraction(*event.at) for event in manifest.program.events.get("removals", ()) if event.at[0] > 0]
    if not ends or result["samples_removed"]:
        return ""
    epochs = result["config"]["epochs"]
    if not presents_twice(epochs, ends):
        return _too_few(epochs, ends)
    return (
        f"samples removed 0: a sample leaves when a stage {LEAVES[manifest.options.recipe]}, up to the share "
        f"{manifest.options.data_removal:g} of a task and while a full batch stays; more epochs a task present each "
        "more often"
    )


def _too_few(epochs: int, ends: Sequence[Fraction]) -> str:
    plural = "" if epochs == 1 else "s"
    lengths = [end - start for start, end in _stages(ends)]
    some = math.floor(1 / max(lengths)) + 1
    # Three epochs long, a stage has two whole ones wherever it begins.
    every = 1 + max(few for few in range(math.ceil(3 / min(lengths)) + 1) if not presents_all_twice(few, ends))
    return (
        f"samples removed 0: one leaves when a stage of data removal has presented it twice, and with {epochs} "
        f"epoch{plural} a task none does; from {some} epochs on every run presents some so often, from {every} on all"
    )


def presents_all_twice(epochs: int, ends: Sequence[Fraction]) -> bool:
    """Whether every stage presents every sample twice, incomplete batches apart: it has two whole epochs.

    Args:
        epochs: of a task.
        ends: by rising fraction the shares of the task at which a stage ends; the first one begins with the task.
    """
    return all(math.floor(epochs * end) - math.ceil(epochs * start) > 1 for start, end in _stages(ends))


def presents_twice(epochs: int, ends: Sequence[Fraction]) -> bool:
    """Whether a stage of data removal can present a sample twice.

    An epoch presents a sample once at most, so a stage has to reach from one epoch into another.

    Args:
        epochs: of a task.
        ends: by rising fraction the shares of the task at which a stage ends; the first one begins with the task.
    """
    return any(math.ceil(epochs * end) - math.floor(epochs * start) > 1 for start, end in _stages(ends))


def _stages(ends: Sequence[Fraction]) -> list[tuple[Fraction, Fraction]]:
    """The shares of the task at which each stage begins and ends."""
    return list(itertools.pairwise((Fraction(0), *ends)))
