"""The options that a learner is opened with, and those that its state has."""

import dataclasses
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.codec import from_plain
from sparcl_compile.interface.errors import ArtifactError, CheckpointError, FieldError
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.runtime.checkpoint import ANOTHER, FILE, Checkpoint
from sparcl_compile.runtime.config import LARGEST, Normalise, RunConfig
from sparcl_compile.runtime.data.fitting import check_augment

DEFAULTS: dict[str, Any] = {"seed": 0, "buffer_size": 200, "augment": "auto", "normalise": "auto"}
"""What belongs to a state, where its first opening names nothing else."""


@dataclasses.dataclass(frozen=True)
class Own:
    """What belongs to a state."""

    seed: int
    buffer_size: int
    augment: str
    normalise: Normalise


@dataclasses.dataclass(frozen=True)
class Opening:
    """What ``Learner.open`` was given; None for what was left out."""

    seed: int | None
    buffer: int | None
    batch: int | None
    learning_rate: float | None
    augment: str | None
    normalise: str | None
    threads: int | None

    def check(self, manifest: Manifest) -> None:
        """Raise FieldError for what is out of its range, or not for the artifact's samples and method."""
        for name in ("seed", "buffer", "batch", "threads"):
            check_whole(name, getattr(self, name))
        if self.learning_rate is not None and not isinstance(self.learning_rate, Real):
            raise FieldError("learning_rate", self.learning_rate, mend="give a number above 0")
        config = self._config(self._given(), 1)
        config.check_buffer(manifest.program.least_buffer)
        config.check_rate(manifest.optimizer.step_limit)
        check_augment(self.augment or "auto", manifest.model)

    def _given(self) -> dict[str, Any]:
        own = {"seed": self.seed, "buffer_size": self.buffer, "augment": self.augment, "normalise": self.normalise}
        return {name: value for name, value in own.items() if value is not None}

    def _config(self, own: dict[str, Any], tasks: int) -> RunConfig:
        whole = {**DEFAULTS, **own}
        return RunConfig(
            data="",
            tasks=tasks,
            batch_size=self.batch,
            learning_rate=self.learning_rate,
            threads=self.threads,
            **{name: whole[name] for name in DEFAULTS},
        )

    def joined(self, artifact: Artifact, folder: Path, found: Checkpoint | None) -> tuple[dict[str, Any], RunConfig]:
        """Return the identity of the state and the options of the learner.

        Raises:
            CheckpointError: the state has another option than was given.
        """
        given = self._given()
        if found is None:
            identity = {"artifact": artifact.identity, **DEFAULTS, **given}
            return identity, self._config(identity, 1)
        for name, value in given.items():
            if found.identity.get(name) != value:
                raise CheckpointError(
                    f"{folder}: has {name} {found.identity.get(name)!r}, this learner {value!r}; leave it out, or name "
                    "another folder as `state`"
                )
        lengths = found.arrays["accuracy.class"].shape
        try:
            own = from_plain(Own, {name: found.identity.get(name) for name in DEFAULTS})
            check_augment(own.augment, artifact.manifest.model)
            return found.identity, self._config(dataclasses.asdict(own), int(lengths[0]))
        except (ValueError, FieldError) as error:
            raise CheckpointError(f"{folder / FILE}: is damaged ({error}); {ANOTHER}") from error


def check_for_apps(artifact: Artifact) -> None:
    """Raise ArtifactError where the artifact's method is for whole runs alone."""
    if "predict" not in artifact.manifest.program.blocks:
        method = artifact.manifest.options.method
        problem = f"its method ({method}) is for whole runs by sparcl-run, not for a learner"
        raise ArtifactError(f"{artifact.folder}: {problem}; compile the model again with another --method")


def check_whole(name: str, value: object) -> None:
    """Raise FieldError for what was given and is no whole number."""
    if value is not None and (not isinstance(value, Integral) or isinstance(value, bool)):
        raise FieldError(name, value, mend="give a whole number")


def check_epochs(epochs: int) -> None:
    """Raise FieldError for a number of epochs that no task can have."""
    check_whole("epochs", epochs)
    if not 1 <= epochs <= LARGEST:
        raise FieldError("epochs", epochs, mend=f"give a number from 1 to {LARGEST}")
