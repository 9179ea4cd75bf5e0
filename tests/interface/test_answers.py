"""The graphs that answer a run's test samples, as its program has them."""

import pytest

from sparcl_compile.interface.answers import DIFFERENT, TASK, answering, answers_note
from sparcl_compile.interface.program import Program, Run
from sparcl_compile.program.build import build
from sparcl_compile.program.methods import parts_of
from sparcl_compile.settings.methods import METHODS
from tests.support.programs import settings

OWN = {"icarl": ("features", "nearest_mean"), "packnet": ("eval_of",)}


def program(name: str) -> Program:
    method = METHODS[name]
    return build(settings(replay=method.replay, parts=parts_of(method, (), (), "rate"), in_apps=method.in_apps))


@pytest.mark.parametrize("name", METHODS)
def test_the_graphs_are_those_of_the_evaluation(name: str) -> None:
    runs = answering(program(name))
    assert tuple(run.graph for run in runs) == OWN.get(name, ("eval",))
    # What predict relies on: each takes what those before it gave, and nothing else but the number of a task.
    assert all(run.take == run.give and run.feeds in ({}, {TASK: TASK}) and not run.results for run in runs)


@pytest.mark.parametrize("name", METHODS)
def test_a_note_says_where_the_network_answers_otherwise(name: str) -> None:
    note = answers_note(program(name))
    assert (note in DIFFERENT.values()) == (name in OWN)
    assert bool(note) == (name in OWN)


def test_every_note_belongs_to_a_graph_that_answers() -> None:
    found = {run.graph for name in METHODS for run in answering(program(name))}
    assert found >= DIFFERENT.keys()


def test_a_program_that_evaluates_nothing_has_no_graphs_that_answer() -> None:
    made = program("er")
    empty = Program(made.counters, {}, {**made.blocks, "end_task": (Run("record"),)}, {})
    assert answering(empty) == ()
    assert answers_note(empty) == ""
