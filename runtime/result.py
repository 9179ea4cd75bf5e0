"""The result of a run as JSON-ready data."""

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.data.tasks import Task
from sparcl_compile.runtime.engine import Engine
from sparcl_compile.runtime.learner import Learner
from sparcl_compile.runtime.metrics import summary

PACKAGES = ("sparcl-compile", "onnxruntime-training-cpu", "onnxruntime-training", "numpy")


def overall_sparsity(engine: Engine) -> float:
    """The share of zeros over all weights with a mask, as it stands; 0 without masks."""
    masks = [engine.array(name) for name in engine.names("mask")]
    total = sum(mask.size for mask in masks)
    return 1.0 - sum(float(mask.sum(dtype=np.float64)) for mask in masks) / total if total else 0.0


def build_result(
    manifest: dict[str, Any],
    engine: Engine,
    learner: Learner,
    config: RunConfig,
    class_rows: Sequence[Sequence[float]],
    task_rows: Sequence[Sequence[float]],
    tasks: Sequence[Task],
) -> dict[str, Any]:
    """Accuracies in percent, sparsities measured on the final state, FLOPs in both conventions, versions."""
    counters = learner.counters
    return {
        **summary(np.array(class_rows), np.array(task_rows)),
        "sparsity": _sparsity(manifest, engine),
        "gradient_sparsity": _gradient_sparsity(engine),
        "samples_seen": counters.samples_seen,
        "samples_replayed": counters.samples_replayed,
        "samples_measured": counters.samples_measured,
        "samples_removed": counters.samples_removed,
        "training_flops": _flops(manifest["flops"], learner),
        "samples_per_second": counters.samples_seen / counters.seconds if counters.seconds else 0.0,
        "training_seconds": counters.seconds,
        "optimizer_steps": counters.step,
        "mask_updates": learner.masks.updates,
        "seed": config.seed,
        "config": {**config.identity(), "learning_rate": config.learning_rate},
        "options": manifest["options"],
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


def _sparsity(manifest: dict[str, Any], engine: Engine) -> dict[str, Any]:
    """Zeros among the stored weights, counted and not assumed: per masked layer, over those, over all parameters."""
    layers = {layer["weight"]: engine.array(layer["weight"]) for layer in manifest["masks"]}
    everything = [engine.array(name) for name in engine.names("parameter")]
    nonzero = sum(int(np.count_nonzero(weight)) for weight in everything)
    return {
        "overall": overall_sparsity(engine),
        "all_parameters": 1.0 - nonzero / sum(weight.size for weight in everything),
        "per_layer": {name: _zeros(engine, name) for name in layers},
    }


def _zeros(engine: Engine, weight: str) -> float:
    mask = f"{weight}.mask"
    return 1.0 - float(engine.array(mask).mean(dtype=np.float64)) if mask in engine.state else 0.0


def _gradient_sparsity(engine: Engine) -> dict[str, Any]:
    masks = {name.removesuffix(".gradient_mask"): engine.array(name) for name in engine.names("gradient_mask")}
    if not masks:
        return {"overall": 0.0, "per_layer": {}}
    kept = sum(float(mask.sum(dtype=np.float64)) for mask in masks.values())
    return {
        "overall": 1.0 - kept / sum(mask.size for mask in masks.values()),
        "per_layer": {name: 1.0 - float(mask.mean(dtype=np.float64)) for name, mask in masks.items()},
    }


def _flops(per_sample: dict[str, float], learner: Learner) -> dict[str, float]:
    """Totals of the run. Paper: a replayed sample costs its forward pass only (SparCL, section 4); true: all of it.

    The true count includes the passes that measure gradients, forward and backward.
    """
    counters = learner.counters
    current, replayed = counters.samples_seen, counters.samples_replayed
    computed = current + replayed + counters.samples_measured
    dense, sparse = per_sample["training_dense"], per_sample["training_sparse"]
    return {
        "paper_dense": dense * current + per_sample["forward_dense"] * replayed,
        "paper_sparse": sparse * current + per_sample["forward_sparse"] * replayed,
        "true_dense": dense * (current + replayed),
        "true_sparse": sparse * computed,
    }
