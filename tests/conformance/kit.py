"""The parts of the kit: folders with an artifact, the samples that it learns and what its run must do (README.md)."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

FOLDER = Path(__file__).parent
TRACE = "trace.json"
ARTIFACT = "artifact"
SAMPLES = "samples.safetensors"


@dataclasses.dataclass(frozen=True)
class Kit:
    """A kit: an artifact, its samples and the trace of its run."""

    folder: Path

    @property
    def artifact(self) -> Path:
        """The folder of the compiled model."""
        return self.folder / ARTIFACT

    @property
    def target(self) -> str:
        """The target of the artifact."""
        found: str = self._manifest()["target"]
        return found

    @property
    def for_apps(self) -> bool:
        """Whether a learner on a device can have it: by a stock ONNX Runtime, and with a method that needs no more."""
        return self.target == "ort" and "predict" in self._manifest()["program"]["blocks"]

    def _manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.artifact / "manifest.json").read_text(encoding="utf-8"))
        return found

    @property
    def trace(self) -> dict[str, Any]:
        """The trace that a run must give."""
        found: dict[str, Any] = json.loads((self.folder / TRACE).read_text(encoding="utf-8"))
        return found

    @property
    def samples(self) -> dict[str, np.ndarray]:
        """``x_train`` and ``x_test`` [N, C, H, W], ``y_train`` and ``y_test`` int64 [N]."""
        return load_file(self.folder / SAMPLES)


def kits(folder: Path = FOLDER) -> dict[str, Kit]:
    """The kits of a folder by name."""
    return {path.parent.name: Kit(path.parent) for path in sorted(folder.glob(f"*/{TRACE}"))}


def for_apps() -> dict[str, Kit]:
    """The kits by name that drivers of a learner are held to."""
    return {name: kit for name, kit in kits().items() if kit.for_apps}
