"""The graphs that answer a run's test samples, as its program has them."""

import pytest

from sparcl_compile.interface.answers import DIFFERENT, answering, answers_note
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
    found = answering(program(name))
    assert found is not None
    first, *others = found.runs
    assert first.feeds == {"x": f"{found.name}.raw"}
    assert tuple(run.graph for run in others) == OWN.get(name, ("eval",))
    assert {run.give for run in others} == {found.name}


@pytest.mark.parametrize("name", METHODS)
def test_a_note_says_where_the_network_answers_otherwise(name: str) -> None:
    note = answers_note(program(name))
    assert (note in DIFFERENT.values()) == (name in OWN)
    assert bool(note) == (name in OWN)


def test_every_note_belongs_to_a_graph_that_answers() -> None:
    found = {run.graph for name in METHODS if (one := answering(program(name))) for run in one.runs}
    assert found >= DIFFERENT.keys()


def test_a_program_that_evaluates_nothing_has_no_graphs_that_answer() -> None:
    made = program("er")
    empty = Program(made.counters, {}, {**made.blocks, "end_task": (Run("record"),)}, {})
    assert answering(empty) is None
    assert answers_note(empty) == ""
