"""Damaged artifacts and states in front of a learner: what is mutated, and how the learner is called."""

from pathlib import Path

import numpy as np

from sparcl_compile.interface.artifact import load
from sparcl_compile.interface.errors import SparclError
from sparcl_compile.runtime.learner.learner import Learner
from tests.support.cli import Outcome, contents

OPENED = {"threads": 1, "buffer": 10, "batch": 8}
STATE = "state"
ROWS, OBSERVED = 12, 2


def live(artifact: Path, state: Path, data: Path) -> None:
    """Leave a state with a task learned, one in the middle of an epoch, and samples that wait."""
    with np.load(data) as found:
        x, y = found["x_train"], found["y_train"]
    with Learner.open(artifact, state, **OPENED) as learner:  # type: ignore[arg-type]
        first, second = (np.flatnonzero(y == label)[:ROWS] for label in np.unique(y)[:2])
        learner.learn(x[first], y[first], epochs=1)
        learner.learn(x[second], y[second], epochs=2, steps=1)
        for row in second[:OBSERVED]:
            learner.observe(x[row], int(y[row]), steps=0)


def call(artifact: str, state: str, data: str) -> Outcome:
    """Open a learner, go on and ask it; a refusal is an outcome as a command has it, anything else is raised.

    Raises:
        AssertionError: the opening is refused, and has changed the state.
    """
    before = contents(Path(state)) if Path(state).exists() else {}
    try:
        learner = Learner.open(load(Path(artifact)), Path(state), threads=1)
    except SparclError as error:
        after = contents(Path(state)) if Path(state).exists() else {}
        assert after == before, f"a refused opening changes {sorted(set(before.items()) ^ set(after.items()))}"
        return _refused(error)
    try:
        with learner:
            _used(learner, Path(data))
    except SparclError as error:
        return _refused(error)
    return Outcome(0, "", "")


def _used(learner: Learner, data: Path) -> None:
    with np.load(data) as found:
        x, y = found["x_train"], found["y_train"]
    given = () if learner.under_way else (x[:ROWS], y[:ROWS])
    learner.learn(*given, epochs=1, steps=2)
    learner.predict(x[:3])
    learner.report()


def _refused(error: SparclError) -> Outcome:
    return Outcome(2, "", f"error: {error}\n")
