"""The page about a run, or about two side by side: sparcl-run --report."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sparcl_compile.interface.codec import plain
from sparcl_compile.interface.errors import CheckpointError
from sparcl_compile.pages.artifact import memory
from sparcl_compile.pages.page import page
from sparcl_compile.runtime.reporting.history import History

SCRIPTS = ("base.js", "charts.js", "run.js")
MEMORY = "memory"
"""The key of a recorded result under which the estimated memory of training stands."""
NUMBERS = (
    "class_il",
    "task_il",
    "forgetting",
    "backward_transfer",
    "learning_accuracy",
    "samples_seen",
    "samples_replayed",
    "samples_removed",
    "training_flops",
    "training_seconds",
    "samples_per_second",
    "accuracy_matrix",
    "task_accuracy_matrix",
    "classes_by_task",
    "seed",
    "versions",
)
OPTIONS = ("target", "method", "sparsity", "scheme", "mask_policy", "gradient_sparsity", "data_removal")
SETTINGS = ("data", "tasks", "epochs", "batch_size", "buffer_size", "learning_rate", "augment")


@dataclasses.dataclass(frozen=True)
class Learned:
    """A finished run with all that its page shows: its name, and what was recorded of it."""

    name: str
    history: History


def run_page(shown: Sequence[Learned]) -> str:
    """The page of one run, or of two.

    Raises:
        CheckpointError: a run is not finished, or was recorded by another version.
    """
    title = " and ".join(one.name for one in shown)
    return page(f"{title} - sparcl-run", SCRIPTS, {"title": title, "subjects": [_subject(one) for one in shown]})


def check_finished(one: Learned) -> Mapping[str, Any]:
    """Return the result of a run; raises CheckpointError where it has none yet."""
    if one.history.result is None:
        raise CheckpointError(f"{one.name}: this run is not finished; go on with sparcl-run --resume --report FILE")
    return one.history.result


def _subject(one: Learned) -> dict[str, Any]:
    result = check_finished(one)
    try:
        return {"name": one.name, **_facts(result), **_curves(one.history)}
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{one.name}: what was recorded lacks {error}; record the run again") from error


def _facts(result: Mapping[str, Any]) -> dict[str, Any]:
    config, options = result["config"], result["options"]
    facts = {name.replace("_", " "): config[name] for name in SETTINGS}
    facts |= {name.replace("_", " "): options[name] for name in OPTIONS}
    return {
        "facts": facts,
        **{name: result[name] for name in NUMBERS},
        "sparsity": result["sparsity"]["overall"],
        "gradient_sparsity": result["gradient_sparsity"]["overall"],
        MEMORY: memory(result[MEMORY]),
    }


def _curves(history: History) -> dict[str, Any]:
    """Epochs as they are; of tasks the pictures by layer: a row of pictures, the state before training first."""
    tasks = [plain(one) for one in history.tasks]
    layers = list(history.tasks[0].pictures) if history.tasks else []
    return {
        "epochs": [plain(one) for one in history.epochs],
        "tasks": [{key: value for key, value in one.items() if key != "pictures"} for one in tasks],
        "pictures": [{"layer": name, "images": [one["pictures"][name] for one in tasks]} for name in layers],
    }
