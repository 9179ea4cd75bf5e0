"""The result of a run as JSON-ready data: the results of its last block, and its configuration."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

import numpy as np

from sparcl_compile.interface.codec import plain
from sparcl_compile.interface.errors import ArtifactError
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.runtime_builds import BUILDS
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.data.tasks import Task
from sparcl_compile.runtime.reporting.json_ready import json_ready

PACKAGES = ("sparcl-compile", *BUILDS, "numpy")
METRICS = (
    "class_il",
    "task_il",
    "forgetting",
    "backward_transfer",
    "learning_accuracy",
    "task_forgetting",
    "task_backward_transfer",
    "task_learning_accuracy",
)
FLOPS = ("paper_dense", "paper_sparse", "true_dense", "true_sparse")
COUNTS = ("samples_seen", "samples_replayed", "samples_measured", "samples_removed", "mask_updates")
"""Counters that a result holds under their own names."""


class Finished(Protocol):
    """A trainer whose run has ended."""

    seconds: float

    def __getitem__(self, name: str) -> int: ...

    def result(self, name: str) -> np.ndarray:
        """Return a result by its name."""


def build_result(
    manifest: Manifest, state: Mapping[str, np.ndarray], run: Finished, config: RunConfig, tasks: Sequence[Task]
) -> dict[str, Any]:
    """Return accuracies in percent, sparsities of the final state, FLOPs in both conventions, and versions.

    Args:
        manifest: of the artifact.
        state: the state at the end, by name.
        run: the trainer; its results are those of the block ``end_run``.
        config: the options of the run.
        tasks: as they were learned.
    """
    found = {name: run.result(f"result.{name}") for name in (*METRICS, *FLOPS)}
    return {
        **{name: json_ready(found[name]) for name in METRICS},
        "accuracy_matrix": json_ready(state["accuracy.class"]),
        "task_accuracy_matrix": json_ready(state["accuracy.task"]),
        "sparsity": {**_sparsity(manifest, run, ""), "all_parameters": json_ready(run.result("result.all_parameters"))},
        "gradient_sparsity": _sparsity(manifest, run, "gradient_"),
        **{name: run[name] for name in COUNTS},
        "training_flops": {name: json_ready(found[name]) for name in FLOPS},
        "samples_per_second": run["samples_seen"] / run.seconds if run.seconds else 0.0,
        "training_seconds": run.seconds,
        "optimizer_steps": run["step"],
        "seed": config.seed,
        "config": {**config.identity(), "learning_rate": config.learning_rate},
        "options": plain(manifest.options),
        "classes_by_task": [list(task.classes) for task in tasks],
        "versions": versions(),
    }


def _sparsity(manifest: Manifest, run: Finished, prefix: str) -> dict[str, Any]:
    """The share of zeros of the masked weights, or of their gradients: over all of them, and by layer.

    Raises:
        ArtifactError: the manifest names another number of masked weights than the graphs.
    """
    each = json_ready(run.result(f"result.{prefix}per_layer"))
    names = [weight.weight for weight in manifest.weights]
    if each and len(each) != len(names):
        raise ArtifactError(
            f"the manifest names {len(names)} masked weights, the artifact's graphs count {len(each)}; "
            "compile the model again"
        )
    return {
        "overall": json_ready(run.result(f"result.{prefix}overall")),
        "per_layer": dict(zip(names, each, strict=True)) if each else {},
    }


def versions() -> dict[str, str]:
    """The versions of the programs and libraries that computed the result."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
