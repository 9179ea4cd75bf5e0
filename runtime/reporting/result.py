"""The result of a run as JSON-ready data."""

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from sparcl_compile.interface.codec import plain
from sparcl_compile.interface.manifest import Flops, Manifest
from sparcl_compile.interface.names import Role
from sparcl_compile.interface.specs import WeightSpec
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.counters import Counters
from sparcl_compile.runtime.data.tasks import Task
from sparcl_compile.runtime.reporting.metrics import summary
from sparcl_compile.runtime.session.engine import Engine

PACKAGES = ("sparcl-compile", "onnxruntime-training-cpu", "onnxruntime-training", "numpy")


def overall_sparsity(engine: Engine, role: Role = Role.MASK) -> float:
    """The share of zeros over all masks of a role (mask or gradient mask), as it stands; 0 without masks."""
    kept = _kept(engine, role)
    total = sum(size for _, size in kept.values())
    return 1.0 - sum(ones for ones, _ in kept.values()) / total if total else 0.0


def layer_sparsity(engine: Engine, role: Role = Role.MASK) -> dict[str, float]:
    """The same for each weight by itself."""
    return {weight: 1.0 - ones / size for weight, (ones, size) in _kept(engine, role).items()}


def _kept(engine: Engine, role: Role) -> dict[str, tuple[float, int]]:
    """By weight how many of its elements a mask keeps, and of how many."""
    counts = {weight.weight: (_count(engine, weight, role), weight.size) for weight in engine.manifest.weights}
    return {name: (kept, size) for name, (kept, size) in counts.items() if kept is not None}


def _count(engine: Engine, weight: WeightSpec, role: Role) -> float | None:
    mask = weight.mask if role is Role.MASK else weight.gradient_mask
    if mask is not None:
        return float(engine.array(mask).sum(dtype=np.float64))
    # A compressed weight has no mask: its last row ends where its live places do.
    return float(engine.array(weight.rows)[-1]) if weight.rows and role is Role.MASK else None


def build_result(
    manifest: Manifest,
    engine: Engine,
    counters: Counters,
    mask_updates: int,
    config: RunConfig,
    class_rows: Sequence[Sequence[float]],
    task_rows: Sequence[Sequence[float]],
    tasks: Sequence[Task],
) -> dict[str, Any]:
    """Accuracies in percent, sparsities measured on the final state, FLOPs in both conventions, versions."""
    return {
        **summary(np.array(class_rows), np.array(task_rows)),
        "sparsity": _sparsity(engine),
        "gradient_sparsity": {
            "overall": overall_sparsity(engine, Role.GRADIENT_MASK),
            "per_layer": layer_sparsity(engine, Role.GRADIENT_MASK),
        },
        "samples_seen": counters.samples_seen,
        "samples_replayed": counters.samples_replayed,
        "samples_measured": counters.samples_measured,
        "samples_removed": counters.samples_removed,
        "training_flops": run_flops(
            manifest.flops, counters.samples_seen, counters.samples_replayed, counters.samples_measured
        ),
        "samples_per_second": counters.samples_seen / counters.seconds if counters.seconds else 0.0,
        "training_seconds": counters.seconds,
        "optimizer_steps": counters.step,
        "mask_updates": mask_updates,
        "seed": config.seed,
        "config": {**config.identity(), "learning_rate": config.learning_rate},
        "options": plain(manifest.options),
        "classes_by_task": [list(task.classes) for task in tasks],
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of what computed the result."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _sparsity(engine: Engine) -> dict[str, Any]:
    """Zeros among the stored weights, counted and not assumed: per masked layer, over those, over all parameters."""
    names = [name for role in (Role.PARAMETER, Role.FROZEN) for name in engine.names(role)]
    nonzero = sum(int(np.count_nonzero(engine.array(name))) for name in names)
    return {
        "overall": overall_sparsity(engine),
        "all_parameters": 1.0 - nonzero / sum(engine.full_size(name) for name in names),
        "per_layer": layer_sparsity(engine),
    }


def run_flops(per_sample: Flops, current: int, replayed: int, measured: int = 0) -> dict[str, float]:
    """FLOPs of a run over so many presentations, from the manifest's numbers per sample.

    Paper (SparCL, section 4): forward and backward for a current sample, the forward pass alone for a replayed one, so
    that N samples, E epochs and r replay batches give ``N * E * f * (1 + 2 + r)``. True: a replayed sample costs its
    backward pass too, and the sparse count includes the passes that measure gradients. The samples are those really
    computed, so data removal counts through ``current``; for the dense baseline's total give the counts of a run
    without removal.
    """
    dense, sparse = per_sample.training_dense, per_sample.training_sparse
    return {
        "paper_dense": dense * current + per_sample.forward_dense * replayed,
        "paper_sparse": sparse * current + per_sample.forward_sparse * replayed,
        "true_dense": dense * (current + replayed),
        "true_sparse": sparse * (current + replayed + measured),
    }
