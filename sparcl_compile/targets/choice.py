"""The training targets by name."""

from collections.abc import Callable, Mapping

from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.targets import ort, ort_training
from sparcl_compile.targets.steps import Steps

TARGETS: Mapping[str, Callable[[CompileOptions], Steps]] = {"ort": ort.steps, "ort-training": ort_training.steps}


def steps(options: CompileOptions) -> Steps:
    """The passes and products of the target that the options name, by phase."""
    return TARGETS[options.target](options)
