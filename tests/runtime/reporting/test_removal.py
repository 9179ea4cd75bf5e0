"""The note of a run that removed nothing, against stages that are walked through step by step."""

import itertools
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest

from sparcl_compile.interface.options import Options
from sparcl_compile.interface.program import Event, Program
from sparcl_compile.runtime.driver.interpreter import reached
from sparcl_compile.runtime.reporting.removal import presents_all_twice, presents_twice, removal_note
from tests.support import described

STAGES = ((1, 10), (1, 5), (3, 10), (2, 5))
ENDS = [Fraction(*at) for at in STAGES]


def line(epochs: int, removed: int = 0, recipe: str = "paper", stages: tuple[tuple[int, int], ...] = STAGES) -> str:
    events = {"removals": tuple(Event(at, "all", {}) for at in stages)} if stages else {}
    options = Options(recipe=recipe, data_removal=0.3)
    manifest = described.manifest(options=options, program=Program({}, {}, {}, events))
    result: dict[str, Any] = {"samples_removed": removed, "config": {"epochs": epochs}}
    return removal_note(manifest, result)


def most_presentations(epochs: int, steps: int) -> int:
    """The most times that a stage can present one sample, once an epoch: the epochs that its steps are of."""
    found, fired, seen = 0, 0, set[int]()
    for epoch in range(epochs):
        for done in range(1, steps + 1):
            seen.add(epoch)
            while fired < len(STAGES) and reached(STAGES[fired], epoch, epochs, done, steps):
                found, fired, seen = max(found, len(seen)), fired + 1, set()
    return found


def fewest_whole_epochs(epochs: int, steps: int) -> int:
    """The fewest epochs of which a stage has all steps."""
    found, fired, seen = epochs, 0, Counter[int]()
    for epoch in range(epochs):
        for done in range(1, steps + 1):
            seen[epoch] += 1
            while fired < len(STAGES) and reached(STAGES[fired], epoch, epochs, done, steps):
                found, fired = min(found, sum(made == steps for made in seen.values())), fired + 1
                seen = Counter()
    return found


@pytest.mark.parametrize("epochs", range(1, 26))
def test_a_sample_may_be_presented_twice_where_the_steps_of_a_stage_are_of_two_epochs(epochs: int) -> None:
    most = max(most_presentations(epochs, steps) for steps in (1, 2, 3, 7, 10, 36, 100))
    assert presents_twice(epochs, ENDS) == (most >= 2) == (epochs not in (1, 2, 5, 10))


@pytest.mark.parametrize("epochs", [1, 2, 5, 10])
def test_a_number_of_epochs_that_lets_no_sample_leave_is_said(epochs: int) -> None:
    found = line(epochs)
    assert found == (
        f"samples removed 0: one leaves when a stage of data removal has presented it twice, and with {epochs} "
        f"epoch{'s' * (epochs > 1)} a task none does; from 11 epochs on every run presents some so often, "
        "from 28 on all"
    )


def test_the_numbers_of_epochs_in_the_note_are_true() -> None:
    lengths = [end - start for start, end in itertools.pairwise((Fraction(0), *ENDS))]
    assert all(presents_twice(epochs, ENDS) for epochs in range(11, 60))
    assert [max(lengths) * epochs > 1 for epochs in (10, 11)] == [False, True]
    assert [presents_all_twice(epochs, ENDS) for epochs in (19, 20, 25, 27)] == [False, True, True, False]
    assert all(presents_all_twice(epochs, ENDS) for epochs in range(28, 60))


@pytest.mark.parametrize("epochs", range(20, 31))
def test_all_are_presented_twice_where_a_stage_has_the_steps_of_two_whole_epochs(epochs: int) -> None:
    """Of a hundred steps an epoch a stage that lacks some of an epoch's has not presented their samples."""
    assert presents_all_twice(epochs, ENDS) == (fewest_whole_epochs(epochs, 100) >= 2)


@pytest.mark.parametrize("epochs", [3, 9, 20])
@pytest.mark.parametrize(("recipe", "how"), [("paper", "without a mistake"), ("reference-code", "never forgot it")])
def test_elsewhere_the_note_says_when_a_sample_leaves(epochs: int, recipe: str, how: str) -> None:
    found = line(epochs, recipe=recipe)
    assert how in found
    assert "up to the share 0.3" in found
    assert "no stage" not in found


@pytest.mark.parametrize("epochs", [3, 5, 20])
def test_there_is_no_note_where_samples_left_or_where_none_should(epochs: int) -> None:
    assert line(epochs, removed=1) == ""
    assert line(epochs, stages=()) == ""
