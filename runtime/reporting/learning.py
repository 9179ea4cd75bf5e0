"""Says that a run learned next to nothing, and what to try."""

from collections.abc import Mapping
from typing import Any

from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.specs import OptimizerSpec

LITTLE = 0.1
"""The share of the way from guessing to being always right below which a task counts as not learned."""
MENDS = {
    "sgd": "give more --epochs or a smaller --batch-size, or compile with --optimizer adamw, which deep networks "
    "without normalisation often need",
    "adamw": "give more --epochs or another --lr",
}
"""By optimizer, under the artifact's own learning rate."""


def learning_note(manifest: Manifest, result: Mapping[str, Any]) -> str:
    """Return that most tasks were not learned, as each was answered among its own classes right after its training.

    Empty where half of the tasks or more were learned, or none has several classes.

    Args:
        manifest: of the artifact that learned.
        result: of the run.
    """
    accuracies = result["task_accuracy_matrix"]
    sizes = {task: len(classes) for task, classes in enumerate(result["classes_by_task"]) if len(classes) > 1}
    missed = [task for task, size in sizes.items() if _is_missed(accuracies[task][task], size)]
    if 2 * len(missed) <= len(sizes):
        return ""
    return (
        f"in {len(missed)} of {len(sizes)} tasks the network tells the classes of a task that it has just learned "
        f"apart hardly better than by guessing; {_mend(manifest.optimizer, result['config'])}"
    )


def _is_missed(accuracy: float | None, classes: int) -> bool:
    """Whether an accuracy in percent is hardly above that of guessing; None is no accuracy."""
    guessing = 100 / classes
    return accuracy is not None and accuracy - guessing < LITTLE * (100 - guessing)


def _mend(optimizer: OptimizerSpec, config: Mapping[str, Any]) -> str:
    own, given = optimizer.rate_for(config["epochs"]), config["learning_rate"]
    if given != own:
        return f"run without --lr, which is {own:g} then and was {given:g}"
    return MENDS[optimizer.name]
