"""docs/interfaces.md is complete for writers of drivers: it has every role, graph, verb, field, block and value."""

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from sparcl_compile.compiling import method_graphs
from sparcl_compile.interface.artifact import read_manifest
from sparcl_compile.interface.names import Role
from sparcl_compile.interface.program import Condition, Event, Operation, Program
from sparcl_compile.passes.emitting.emit import ASKED
from sparcl_compile.program.build import build
from tests.conformance.kit import kits
from tests.program.test_dry_runs import GIVEN
from tests.support.programs import settings

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "interfaces.md").read_text(encoding="utf-8")
MANIFESTS = [read_manifest(kit.artifact) for kit in kits().values()]
GRAPHS = "sparcl_compile.graphs"
CALLED = ("class_order", "statistics", "begin_task", "begin_epoch", "step", "end_epoch", "end_task", "end_run")


def rows(head: str) -> dict[str, str]:
    """The lines of the table below a head by their first cell, each name of it."""
    _, _, below = PAGE.partition(f"\n| {head}")
    assert below, head
    lines = below.partition("\n\n")[0].splitlines()[2:]
    found: dict[str, str] = {}
    for first, _, text in (line.strip("|").partition("|") for line in lines):
        for name in re.sub(r"\(.*\)", "", first).split(","):
            found[name.strip()] = found.get(name.strip(), "") + text
    return found


def fields(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    return kind.__struct_fields__


def test_every_role_of_the_state() -> None:
    assert rows("role |").keys() == {role.value for role in Role}


def test_every_graph_with_its_feeds_and_results() -> None:
    told = rows("graph | feeds")
    graphs = [pair for manifest in MANIFESTS for pair in manifest.graphs.items()]
    listed = {name: graph for name, graph in graphs if name not in ASKED}  # which have a table of their own
    assert told.keys() == listed.keys()
    told["measure"] += told["train"]  # it is fed as that one
    state = {spec.name for manifest in MANIFESTS for spec in manifest.state}
    for name, graph in listed.items():
        feeds = {one.name for one in graph.inputs if one.name not in state and "accumulation" not in one.name}
        for word in {*feeds, *graph.results} if name != "merge" else {"first.F", "second.F"}:
            assert re.search(rf"(?<![\w.]){re.escape(word)}\b", told[name]), (name, word)


def test_every_graph_of_a_method() -> None:
    made = {name for name, one in vars(method_graphs).items() if getattr(one, "__package__", "") == GRAPHS}
    assert len(made) > 20
    assert rows("graph of a method |").keys() == made | ASKED.keys()


@pytest.mark.parametrize("kind", get_args(Operation))
def test_every_verb_with_its_fields(kind: type[msgspec.Struct]) -> None:
    told = rows("verb (`do`)")[str(kind.__struct_config__.tag)]
    assert [name.strip() for name in told.partition("|")[0].split(",")] == list(fields(kind))


def test_no_verb_more() -> None:
    assert rows("verb (`do`)").keys() == {kind.__struct_config__.tag for kind in get_args(Operation)}
    assert "twelve verbs" in PAGE
    assert len(get_args(Operation)) == 12


def test_every_part_of_a_program_a_condition_and_an_event() -> None:
    assert rows("field | meaning").keys() == set(fields(Program))
    assert all(f"`{name}`" in PAGE for kind in (Condition, Event) for name in fields(kind))


def test_every_value_that_a_driver_gives() -> None:
    sentence = PAGE.partition("A driver gives these values:")[2].partition("It calls")[0]
    assert set(re.findall(r"`(\w+)`", sentence)) == GIVEN.keys()


@pytest.mark.parametrize("block", CALLED)
def test_every_block_that_a_driver_calls(block: str) -> None:
    code = PAGE.partition("It calls these blocks:")[2].partition("The blocks themselves")[0]
    assert re.search(rf"\bcall {block}\b", code)
    assert block in build(settings()).blocks


def test_every_name_of_a_length_and_a_type_that_only_a_run_knows() -> None:
    specs = [spec for manifest in MANIFESTS for spec in manifest.state]
    lengths = {length for spec in specs for length in spec.shape if isinstance(length, str)}
    names = {*lengths, *({spec.dtype for spec in specs} & {"sample", "sum"})}
    assert len(names) == 8
    assert all(f"`{name}`" in PAGE for name in names)


def test_a_missing_word_would_be_noticed() -> None:
    assert "made_up" not in rows("graph | feeds")
    assert not re.search(r"(?<![\w.])new_orders\b", rows("graph | feeds")["remove_samples"])
