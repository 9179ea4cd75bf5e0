"""The training targets by name."""

from collections.abc import Callable, Mapping

from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.targets import ort, ort_training
from sparcl_compile.targets.steps import Steps

TARGETS: Mapping[str, Callable[[CompileOptions], Steps]] = {"ort": ort.steps, "ort-training": ort_training.steps}
EXECUTORS: Mapping[str, str] = {"ort": ort.EXECUTOR, "ort-training": ort_training.EXECUTOR}
"""The model of what runs a target's graphs: a name of ``passes/analysis/liveness/executor.py``."""


def steps(options: CompileOptions) -> Steps:
    """The passes and products of the target that the options name, by phase."""
    return TARGETS[options.target](options)
