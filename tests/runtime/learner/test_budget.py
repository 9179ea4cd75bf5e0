"""How much a call may learn: a step in any case, and then as the budget, the clock and the progress function say."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.runtime.learner.budget import Budget, ProgressFailed
from sparcl_compile.runtime.learner.results import Learned, Step

STEP = Step(task=0, epoch=0, epochs=1, done=1, total=9, loss=0.5, sparsity=0.8)


def made(budget: Budget, most: int = 100) -> int:
    """Make steps as long as the budget goes on."""
    steps = 0
    while budget.go_on() and steps < most:
        budget.count(STEP)
        steps += 1
    return steps


def ticking(each: float) -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += each


@given(steps=st.integers(1, 50))
def test_so_many_steps(steps: int) -> None:
    budget = Budget(steps, None, None)
    assert made(budget) == steps
    assert budget.ended(finished=False) == Learned("steps", steps, 0.5)


@given(seconds=st.floats(1e-6, 50.0), each=st.floats(0.1, 9.0))
def test_no_step_begins_when_the_seconds_are_over(seconds: float, each: float) -> None:
    times = ticking(each)
    asked: list[float] = []

    def clock() -> float:
        asked.append(next(times))
        return asked[-1]

    budget = Budget(None, seconds, None, clock)
    steps = made(budget, most=1000)
    assert steps >= 1
    assert asked[-1] >= seconds
    assert all(time < seconds for time in asked[1:-1])
    assert budget.ended(finished=False).reason == "seconds"


@given(stop=st.integers(1, 20))
def test_the_progress_function_cancels(stop: int) -> None:
    seen: list[Step] = []

    def progress(step: Step) -> bool:
        seen.append(step)
        return len(seen) < stop

    budget = Budget(None, None, progress)
    assert made(budget) == stop
    assert budget.ended(finished=False) == Learned("cancelled", stop, 0.5)
    assert seen == [STEP] * stop


@pytest.mark.parametrize("answer", [None, True, 0, "", 1])
def test_only_false_cancels(answer: object) -> None:
    assert made(Budget(None, None, lambda _: answer), most=5) == 5


def test_without_a_limit_a_call_goes_on() -> None:
    budget = Budget(None, None, None)
    assert made(budget, most=7) == 7
    assert budget.ended(finished=True) == Learned("done", 7, 0.5)


def test_an_exception_of_the_progress_function_is_carried() -> None:
    def fail(_: Step) -> None:
        raise KeyError("the app")

    with pytest.raises(ProgressFailed) as carried:
        Budget(None, None, fail).count(STEP)
    assert isinstance(carried.value.error, KeyError)


@pytest.mark.parametrize(
    ("steps", "seconds", "message"),
    [
        (0, None, "`steps` 0"),
        (-1, None, "`steps` -1"),
        (None, 0.0, "`seconds` 0.0"),
        (None, float("nan"), "`seconds` n"),
    ],
)
def test_budgets_that_are_none(steps: int | None, seconds: float | None, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        Budget(steps, seconds, None)
