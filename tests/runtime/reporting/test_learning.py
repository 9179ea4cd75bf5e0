"""The note of a run that learned next to nothing."""

from typing import Any

import pytest

from sparcl_compile.interface.specs import OptimizerSpec
from sparcl_compile.runtime.reporting.learning import learning_note
from tests.support import described

PAIRS = ([0, 1], [2, 3], [4, 5])
RATES = {"sgd": 0.15, "adamw": 0.001}


def note(
    learned: tuple[float | None, ...], classes: tuple[list[int], ...] = PAIRS, name: str = "sgd", rate: float = 0.15
) -> str:
    """The note of a run of 3 epochs whose tasks were right so often among their own classes, just learned."""
    manifest = described.manifest(optimizer=OptimizerSpec(name, RATES[name] / 2, RATES[name], 5))
    rows = [[0.0] * task + [accuracy] + [None] * (len(learned) - task - 1) for task, accuracy in enumerate(learned)]
    config = {"epochs": 3, "learning_rate": rate}
    result: dict[str, Any] = {"task_accuracy_matrix": rows, "classes_by_task": list(classes), "config": config}
    return learning_note(manifest, result)


def test_a_run_whose_tasks_are_guessed_says_so_and_what_to_try() -> None:
    assert note((50.4, 49.1, 50.0)) == (
        "in 3 of 3 tasks the network tells the classes of a task that it has just learned apart hardly better than by "
        "guessing; give more --epochs or a smaller --batch-size, or compile with --optimizer adamw, which deep "
        "networks without normalisation often need"
    )


@pytest.mark.parametrize(("learned", "tasks"), [((54.9, 54.9, 99), "2 of 3"), ((50, 99, 99), ""), ((55, 55, 55), "")])
def test_most_tasks_must_be_guessed(learned: tuple[float, ...], tasks: str) -> None:
    assert note(learned).partition(" tasks")[0] == (f"in {tasks}" if tasks else "")


def test_half_of_the_tasks_is_not_most() -> None:
    assert note((50, 50, 99, 99), (*PAIRS, [6, 7])) == ""


def test_what_guessing_gives_goes_by_the_number_of_classes() -> None:
    four = ([0, 1, 2, 3], [4, 5, 6, 7])
    assert note((32, 32), four)
    assert note((33, 33), four) == ""


def test_tasks_of_one_class_and_tasks_without_an_accuracy_say_nothing() -> None:
    assert note((100, 100), ([0], [1])) == ""
    assert note((None, None), PAIRS[:2]) == ""
    assert note((100, 100, 50), ([0], [1], [2, 3])).startswith("in 1 of 1 tasks")


@pytest.mark.parametrize(
    ("name", "rate", "mend"),
    [
        ("adamw", 0.001, "give more --epochs or another --lr"),
        ("sgd", 0.0001, "run without --lr, which is 0.15 then and was 0.0001"),
        ("adamw", 0.5, "run without --lr, which is 0.001 then and was 0.5"),
    ],
)
def test_the_mend_goes_by_optimizer_and_rate(name: str, rate: float, mend: str) -> None:
    assert note((50, 50, 50), name=name, rate=rate).endswith(f"guessing; {mend}")
