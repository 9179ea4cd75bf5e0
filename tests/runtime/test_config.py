import dataclasses
from typing import Any

import numpy as np
import pytest

from sparcl_compile.cli.command import in_options
from sparcl_compile.cli.run import run_command
from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.specs import OptimizerSpec
from sparcl_compile.runtime.config import RunConfig, batch_size_for

SOUND = RunConfig(data="digits", learning_rate=0.03)


@pytest.mark.parametrize(
    ("name", "value", "flag"),
    [
        ("tasks", 0, "--tasks"),
        ("epochs", 0, "--epochs"),
        ("batch_size", -1, "--batch-size"),
        ("buffer_size", 0, "--buffer"),
        ("learning_rate", 0.0, "--lr"),
        ("learning_rate", float("nan"), "--lr"),
        ("learning_rate", float("inf"), "--lr"),
        ("seed", -1, "--seed"),
        ("seed", 2**32, "--seed"),
        ("class_order_seed", -1, "--class-order-seed"),
        ("epochs", 2**62 + 1, "--epochs"),
        ("batch_size", 10**22, "--batch-size"),
        ("buffer_size", 10**22, "--buffer"),
        ("tasks", 10**22, "--tasks"),
        ("threads", 0, "--threads"),
        ("threads", 1_000_000, "--threads"),
        ("normalise", "Raw", "--normalise"),
        ("augment", "blur", "--augment"),
    ],
)
def test_out_of_range(name: str, value: float | str, flag: str) -> None:
    with pytest.raises(FieldError) as refused:
        dataclasses.replace(SOUND, **{name: value})
    assert str(refused.value).startswith(f"`{name}` {value}: give ")
    assert in_options(refused.value, run_command).startswith(f"{flag} {value}: give ")


@pytest.mark.parametrize("rate", [2.0**24 + 2.0, 1e30, 1e39])
def test_a_rate_that_steps_with_a_limit_do_not_depend_on(rate: float) -> None:
    config = dataclasses.replace(SOUND, learning_rate=rate)
    config.check_rate(0.0)
    with pytest.raises(FieldError) as refused:
        config.check_rate(0.2)
    problem = "steps have a limit, 0.2, which rounding errors of gradients alone would reach"
    assert str(refused.value) == f"`learning_rate` {rate}: {problem}; give at most 16777216"
    assert in_options(refused.value, run_command) == f"--lr {rate}: {problem}; give at most 16777216"


@pytest.mark.parametrize("rate", [None, 0.03, 2.0**24])
def test_the_largest_rate_is_that_of_the_rounding_of_float32(rate: float | None) -> None:
    dataclasses.replace(SOUND, learning_rate=rate).check_rate(0.2)
    assert np.float32(1.0) - np.nextafter(np.float32(1.0), np.float32(0.0)) == 2.0**-24


@pytest.mark.parametrize(
    ("rate", "epochs", "limit", "noted"),
    [
        (None, 9, 0.2, None),
        (5.0, 9, 0.2, None),
        (6.0, 9, 0.2, "learning rate 6 is 12 times the artifact's own, 0.5"),
        (6.0, 9, 0.0, None),
        (2.0, 5, 0.2, "learning rate 2 is 20 times the artifact's own, 0.1"),
    ],
)
def test_a_rate_far_from_the_artifact_s_own_is_noted(
    rate: float | None, epochs: int, limit: float, noted: str | None
) -> None:
    config = dataclasses.replace(SOUND, learning_rate=rate, epochs=epochs)
    notes = config.rate_notes(OptimizerSpec("sgd", 0.5, 0.1, few_epochs=5, step_limit=limit))
    assert [one.split(": most steps will be as large as their limit, 0.2,")[0] for one in notes] == [
        one for one in (noted,) if one is not None
    ]


@pytest.mark.parametrize(
    "changed",
    [{"seed": 2**32 - 1}, {"class_order_seed": 0}, {"threads": 1}, {"threads": 64}, {"epochs": 2**31}, {"tasks": 1}],
)
def test_at_the_edge(changed: dict[str, Any]) -> None:
    dataclasses.replace(SOUND, **changed)


def test_identity_leaves_out_what_may_change_on_the_way() -> None:
    changed = dataclasses.replace(SOUND, threads=3, learning_rate=1.0)
    assert changed.identity() == SOUND.identity()
    fields = {field.name for field in dataclasses.fields(RunConfig)}
    assert fields - set(SOUND.identity()) == {"threads", "learning_rate"}
    assert dataclasses.replace(SOUND, epochs=6).identity() != SOUND.identity()


@pytest.mark.parametrize(("counts", "given"), [((), ""), ((3, 0), "3,0"), ((-1, 4), "-1,4")])
def test_tasks_without_classes(counts: tuple[int, ...], given: str) -> None:
    with pytest.raises(FieldError, match=rf"^`tasks` {given}: give at least 1 class for each task"):
        dataclasses.replace(SOUND, task_classes=counts)


def test_numbers_of_classes_are_the_number_of_tasks() -> None:
    made = dataclasses.replace(SOUND, task_classes=(4, 3, 3))
    assert (made.tasks, made.dealing, made.identity()["task_classes"]) == (3, (4, 3, 3), [4, 3, 3])
    assert dataclasses.replace(SOUND, tasks=3).dealing == 3


@pytest.mark.parametrize(("steps_of_32", "size"), [(1000, 32), (100, 32), (99, 16), (50, 16), (49, 8), (25, 8), (1, 8)])
def test_a_batch_without_a_size_is_as_large_as_the_steps_of_a_task_allow(steps_of_32: int, size: int) -> None:
    assert batch_size_for(32 * steps_of_32) == size
    made, batch, _ = dataclasses.replace(SOUND, tasks=4, epochs=2).completed(64 * steps_of_32, 0.1)
    assert batch == made.batch_size == size


def test_a_size_that_is_given_stays() -> None:
    made, batch, rate = dataclasses.replace(SOUND, batch_size=1).completed(10, 0.1)
    assert (made.batch_size, batch, rate) == (1, 1, SOUND.learning_rate)
    assert made.completed(10, 0.1) == (made, 1, rate)
