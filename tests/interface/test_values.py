"""The trace of a program's values: every read that nothing gives is found, and what compilers write passes."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from sparcl_compile.interface.artifact import read_manifest
from sparcl_compile.interface.codec import from_plain, plain
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.program import (
    Block,
    Call,
    Condition,
    Count,
    Due,
    Each,
    Event,
    Fail,
    Gather,
    Program,
    Rows,
    Run,
    Set,
    Slice,
    When,
)
from sparcl_compile.interface.values import MOST, UnknownValue, Values, check_values
from tests.conformance.kit import kits

KITS = {name: read_manifest(kit.artifact) for name, kit in kits().items()}
SOUND = next(iter(KITS.values()))
READS = {
    "run": ("feeds",),
    "each": ("last",),
    "slice": ("vector", "position", "count", "end"),
    "gather": ("rows",),
    "set": ("to",),
    "count": ("add", "rows"),
    "fail": ("of",),
}
"""Fields that name values which are read, by verb."""
LATER = (Condition("task"),)


def operations(content: Any) -> Iterator[dict[str, Any]]:
    if isinstance(content, dict):
        yield from [content] if "do" in content else []
        content = list(content.values())
    for part in content if isinstance(content, list) else []:
        yield from operations(part)


def sources(program: Any) -> Iterator[tuple[Any, Any]]:
    """The places of all names of values that are read, each as its holder and its key."""
    for one in operations(program["blocks"]):
        for holder in one.get("any", []) if one["do"] == "when" else []:
            yield holder, "value"
        for field in READS.get(one["do"], ()):
            if isinstance(one.get(field), str):
                yield one, field
            if isinstance(one.get(field), dict):
                yield from ((one[field], key) for key, source in one[field].items() if isinstance(source, str))


def with_program(program: Any) -> Manifest:
    return dataclasses.replace(SOUND, program=from_plain(Program, program))


@pytest.mark.parametrize("kit", KITS)
def test_what_a_compiler_writes_passes(kit: str) -> None:
    check_values(KITS[kit])


@pytest.mark.parametrize("kit", KITS)
def test_every_read_of_an_unknown_value_is_found(kit: str) -> None:
    program = json.loads(json.dumps(plain(KITS[kit].program)))
    inputs = {name: {one.name for one in graph.inputs} for name, graph in KITS[kit].graphs.items()}
    fed = {id(one["feeds"]): inputs[one["graph"]] for one in operations(program) if one.get("feeds")}
    places = [(holder, key) for holder, key in sources(program) if key in fed.get(id(holder), {key})]
    assert len(places) > 40, "the least program, that without replay, has so many reads"
    for holder, key in places:
        before, holder[key] = holder[key], "pace"
        with pytest.raises(
            ValueError, match=r"program\.blocks\.\w+\[.*\((\w+)( \w+)?\) reads 'pace', which nothing gives"
        ):
            check_values(dataclasses.replace(KITS[kit], program=from_plain(Program, program)))
        holder[key] = before


def test_what_a_graph_does_not_take_is_not_read() -> None:
    check_values(stepping(Run("standardise", feeds={"x": "seed", "more": "pace"}, results={"x_ready": "nobody"})))


def stepping(*operations: Any, where: str = "step", **more: Block) -> Manifest:
    """A sound manifest with operations in front of a block."""
    blocks = {**SOUND.program.blocks, **more}
    blocks[where] = (*operations, *blocks[where])
    program = Program(SOUND.program.counters, SOUND.program.vectors, blocks, SOUND.program.events)
    return dataclasses.replace(SOUND, program=program)


FINE: dict[str, tuple[Any, ...]] = {
    "set before": (Set("a", 1), Set("b", "a")),
    "both branches": (When(LATER, (Set("a", 1),), (Set("a", 2),)), Set("b", "a")),
    "the same conditions": (When(LATER, (Set("a", 1),)), When(LATER, (Set("b", "a"),))),
    "the same conditions, otherwise": (When(LATER, (), (Set("a", 1),)), When(LATER, (), (Set("b", "a"),))),
    "within": (When(LATER, (Set("a", 1), When(LATER, (Set("b", "a"),)))),),
    "each": (Each("a", "task", (Set("b", "a"),)), Set("c", "b")),
    "rows": (Rows("train", 2, "a", (Set("b", "a.labels"),)), Set("c", "b")),
    "a slice": (Slice("gradient_keep", "task", "batch", "seed", "a"), Set("b", "a")),
    "rows by their numbers": (Gather("gradient_keep", "a"), Count("task", rows="a.raw")),
    "an event": (Due("removals", (Set("a", "event.share"),)),),
}

WRONG: dict[str, tuple[tuple[Any, ...], str]] = {
    "after": ((Set("b", "a"), Set("a", 1)), r"step\[0\] \(set\) reads 'a'"),
    "one branch": ((When(LATER, (Set("a", 1),)), Set("b", "a")), r"step\[1\] \(set\) reads 'a'"),
    "the other branch": (
        (When(LATER, (Set("a", 1),)), When(LATER, (), (Set("b", "a"),))),
        r"step\[1\]\.otherwise\[0\]",
    ),
    "other conditions": (
        (When(LATER, (Set("a", 1),)), When((Condition("task", at_least=1),), (Set("b", "a"),))),
        r"step\[1\]\.then\[0\] \(set\) reads 'a'",
    ),
    "conditions on what has changed": (
        (When(LATER, (Set("a", 1),)), Count("task"), When(LATER, (Set("b", "a"),))),
        r"step\[2\]\.then\[0\] \(set\) reads 'a'",
    ),
    "conditions that change inside": (
        (When(LATER, (Set("a", 1),), (Count("task"),)), When(LATER, (Set("b", "a"),))),
        r"step\[1\]\.then\[0\] \(set\) reads 'a'",
    ),
    "what is given under more": (
        (When(LATER, (When((Condition("epoch"),), (Set("a", 1),)),)), When((Condition("epoch"),), (Set("b", "a"),))),
        r"step\[1\]\.then\[0\] \(set\) reads 'a'",
    ),
    "an event may not come": ((Due("removals", (Set("a", 1),)), Set("b", "a")), r"step\[1\] \(set\) reads 'a'"),
    "another event's": ((Due("removals", (Set("a", "event.grow_to"),)),), r"step\[0\]\.block\[0\] \(set\) reads"),
    "a condition": ((When((Condition("a"),), ()),), r"step\[0\] \(when\) reads 'a'"),
    "a failure": ((Fail("{}", "a"),), r"step\[0\] \(fail\) reads 'a'"),
    "an input of a graph": ((Run("record"),), r"step\[0\] \(run record\) reads 'of'"),
    "a part of a vector": ((Run("order", feeds={"key": ("a", 0, 0), "batch": 1}),), r"\(run order\) reads 'a'"),
    "test rows without their task": ((Rows("test", 1, "a", ()),), r"step\[0\] \(rows\) reads 'of'"),
}


@pytest.mark.parametrize("name", FINE)
def test_values_that_are_there(name: str) -> None:
    check_values(stepping(*FINE[name]))


@pytest.mark.parametrize("name", WRONG)
def test_values_that_are_not_there(name: str) -> None:
    operations, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        check_values(stepping(*operations))


def test_a_second_step_finds_what_the_first_has_left() -> None:
    blocks = stepping(When(LATER, (Set("a", 1),)), where="begin_epoch").program.blocks
    reads = When(LATER, (Set("b", "a"),))
    check_values(stepping(reads, begin_epoch=blocks["begin_epoch"]))
    with pytest.raises(ValueError, match=r"step\[0\]\.then\[0\] \(set\) reads 'a'"):
        check_values(stepping(reads, Count("task"), begin_epoch=blocks["begin_epoch"]))


def test_a_resumed_run_begins_with_an_epoch() -> None:
    check_values(stepping(Set("a", 1), where="begin_epoch"))
    blocks = stepping(Set("a", 1), where="begin_task").program.blocks
    with pytest.raises(ValueError, match=r"begin_epoch\[0\] \(set\) reads 'a'"):
        check_values(stepping(Set("b", "a"), where="begin_epoch", begin_task=blocks["begin_task"]))


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("begin_epoch", "begin_epoch does not give 'done'"),
        ("end_task", "end_task does not give 'class_mean'"),
        ("end_run", "end_run does not give 'result.class_il'"),
    ],
)
def test_what_a_driver_reads_is_given(block: str, message: str) -> None:
    manifest = stepping()
    manifest.program.blocks[block] = ()
    with pytest.raises(ValueError, match=message):
        check_values(manifest)


def test_a_counter_that_a_driver_reads() -> None:
    manifest = stepping()
    counters = {name: first for name, first in manifest.program.counters.items() if name != "epoch"}
    program = Program(counters, manifest.program.vectors, manifest.program.blocks, manifest.program.events)
    with pytest.raises(ValueError, match="counters has no 'epoch'"):
        check_values(dataclasses.replace(manifest, program=program))


def test_a_run_that_would_begin_behind_its_first_epoch() -> None:
    manifest = stepping()
    counters = {**manifest.program.counters, "epoch": 12}
    program = Program(counters, manifest.program.vectors, manifest.program.blocks, manifest.program.events)
    with pytest.raises(ValueError, match="begins 'epoch' at 12; a run begins at 0"):
        check_values(dataclasses.replace(manifest, program=program))


def test_blocks_that_call_without_end() -> None:
    doubled = {f"b{number}": (Call(f"b{number + 1}"), Call(f"b{number + 1}")) for number in range(40)}
    with pytest.raises(ValueError, match=f"come to more than {MOST} operations"):
        check_values(stepping(Call("b0"), **doubled, b40=()))


def test_events_without_any() -> None:
    manifest = stepping(Due("removals", (Set("a", "nowhere"),)))
    program = Program(
        manifest.program.counters,
        manifest.program.vectors,
        manifest.program.blocks,
        {"removals": (), "mask_updates": ()},
    )
    check_values(dataclasses.replace(manifest, program=program))
    event = Event((1, 2), "all", {"else": (1,)})
    program = Program(
        manifest.program.counters,
        manifest.program.vectors,
        manifest.program.blocks,
        {**program.events, "removals": (event,)},
    )
    with pytest.raises(ValueError, match="reads 'nowhere'"):
        check_values(dataclasses.replace(manifest, program=program))


def kept(names: tuple[str, ...], *operations: Any, where: str = "step") -> Manifest:
    manifest = stepping(*operations, where=where)
    return dataclasses.replace(manifest, program=msgspec.structs.replace(manifest.program, kept=names))


def test_what_is_kept_in_the_middle_of_an_epoch_is_enough_to_go_on() -> None:
    names = SOUND.program.kept
    check_values(kept((*names, "a"), Set("a", 1), where="begin_epoch"))
    with pytest.raises(ValueError, match="reads 'order', which nothing gives"):
        check_values(kept(tuple(name for name in names if name != "order")))
    with pytest.raises(ValueError, match=r"program\.kept names 'a', which the beginning of an epoch does not give"):
        check_values(kept((*names, "a"), Set("a", 1)))


def test_a_value_without_a_name() -> None:
    values = Values({"a": 1})
    values |= {"b": 2}
    assert (values["a"], values["b"], values.get("c")) == (1, 2, None)
    with pytest.raises(UnknownValue, match="c"):
        values["c"]
