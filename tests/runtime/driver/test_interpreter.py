"""Every verb of a program, with an engine that records its calls and tables of a few rows."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import numpy as np
import pytest

from sparcl_compile.interface import program as ops
from sparcl_compile.interface.errors import TrainingError
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.interface.program import Block, Condition, Event, Program
from sparcl_compile.interface.specs import GraphSpec, InputSpec
from sparcl_compile.runtime.data.tables import Table, Tables
from sparcl_compile.runtime.data.tasks import Task
from sparcl_compile.runtime.driver.interpreter import VERBS, Interpreter, reached
from sparcl_compile.runtime.session.engine import Sizes
from tests.support import described

GRAPHS: Mapping[str, tuple[tuple[InputSpec, ...], tuple[str, ...]]] = {
    "add": ((InputSpec("a", "int64", ()), InputSpec("b", "int64", ())), ("sum",)),
    "train": (
        (
            InputSpec("x", "float32", ("N", 2)),
            InputSpec("first", "bool", (1,)),
            InputSpec("rate", "float32", ()),
            InputSpec("weight", "float64", ()),
            InputSpec("key", "int64", (3,)),
            InputSpec("raw", "sample", ("N", 1, 1, 1)),
            InputSpec("losses", "float32", ("k",)),
            InputSpec("w", "float32", (2,)),
        ),
        ("loss", "logits"),
    ),
}


@dataclasses.dataclass
class Call:
    """A graph that was run."""

    graph: str
    feeds: dict[str, np.ndarray]
    given: dict[str, Any]
    instead: Mapping[str, str] | None


class FakeEngine:
    """Gives the results 1, 2, ... and the sum of ``add``; writes down its calls and what was reset."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.resets: list[tuple[str, ...]] = []
        self.sizes = Sizes("uint8")

    @property
    def manifest(self) -> Manifest:
        return described.manifest(weights=(described.weight("v", (2, 2), 2, 1), described.weight("w", (2, 2), 2, 1)))

    def spec(self, graph: str) -> GraphSpec:
        inputs, results = GRAPHS[graph]
        return GraphSpec(f"{graph}.onnx", inputs, results, results, {}, (), False)

    def run(
        self, graph: str, feeds: Mapping[str, Any], instead: Mapping[str, str] | None = None
    ) -> dict[str, ort.OrtValue]:
        arrays = {name: np.array(v.numpy() if isinstance(v, ort.OrtValue) else v) for name, v in feeds.items()}
        self.calls.append(Call(graph, arrays, dict(feeds), instead))
        if graph == "add":
            return {"sum": value(arrays["a"] + arrays["b"])}
        return {name: value(np.float32(number)) for number, name in enumerate(GRAPHS[graph][1], start=1)}

    def reset(self, names: Iterable[str]) -> None:
        self.resets.append(tuple(names))


def value(array: Any) -> ort.OrtValue:
    return ort.OrtValue.ortvalue_from_numpy(np.asarray(array))


def samples(numbers: range) -> Table:
    """One-pixel samples of these values, of classes in turn."""
    raw = np.array(numbers, np.uint8).reshape(-1, 1, 1, 1)
    return Table(raw, np.array(numbers) % 2, (0, 1))


def task(first: int) -> Task:
    """Four samples for training and three for testing, whose values go on from ``first``."""
    train, test = samples(range(first, first + 4)), samples(range(first + 4, first + 7))
    return Task((0, 1), train.raw, train.labels, test.raw, test.labels)


class Machine:
    """An interpreter with its engine and tables."""

    def __init__(
        self,
        block: Block,
        events: Mapping[str, tuple[Event, ...]] | None = None,
        vectors: Mapping[str, tuple[int, ...]] | None = None,
        more: Mapping[str, Block] | None = None,
        **values: Any,
    ) -> None:
        self.engine = FakeEngine()
        blocks: dict[str, Block] = {"main": block, **(more or {})}
        program = Program({"step": 7}, dict(vectors or {}), blocks, dict(events or {}))
        tables = Tables(samples(range(5)), [task(10), task(20)])
        self.interpreter = Interpreter(self.engine, program, tables, values)  # type: ignore[arg-type]

    def run(self) -> "Machine":
        self.interpreter.call("main")
        return self

    def __getitem__(self, name: str) -> Any:
        return self.interpreter.array(name).tolist()


def run(*block: ops.Operation, **settings: Any) -> Machine:
    return Machine(block, **settings).run()


# run


def fed(feeds: dict[str, ops.Source], **values: Any) -> dict[str, np.ndarray]:
    """The feeds of the graph ``train``."""
    return run(ops.Run("train", feeds=feeds), **values).engine.calls[0].feeds


@pytest.mark.parametrize(
    ("name", "source", "wanted"),
    [
        ("first", 1, np.array([True])),
        ("first", 0, np.array([False])),
        ("rate", 0.5, np.array(0.5, np.float32)),
        ("weight", 0.1, np.array(0.1, np.float64)),
        ("rate", "step", np.array(7, np.float32)),
        ("key", ("step", 0, "seed"), np.array([7, 0, 3], np.int64)),
        ("key", "three", np.array([4, 5, 6], np.int64)),
        ("losses", ("loss", "other"), np.array([0.25, 2], np.float32)),
        ("raw", "pixels", np.array([[[[9]]]], np.uint8)),
    ],
)
def test_what_a_graph_is_fed_with(name: str, source: ops.Source, wanted: np.ndarray) -> None:
    values = {"seed": 3, "loss": value(np.float32(0.25)), "other": np.float32(2), "pixels": np.array([[[[9]]]])}
    found = fed({name: source}, vectors={"three": (4, 5, 6)}, **values)[name]
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_array_equal(found, wanted)


def test_a_float32_loses_nothing_on_its_way() -> None:
    third = np.float32(1) / np.float32(3)
    assert fed({"losses": ("loss",)}, loss=value(third))["losses"].tolist() == [float(third)]


def test_a_feed_goes_before_a_batch_and_a_batch_before_the_state() -> None:
    batch = {"batch.x": np.array([[1.0, 2.0]]), "batch.rate": 3.0, "rate": 4.0, "x": np.zeros((1, 2)), "batch.other": 5}
    machine = run(ops.Run("train", take="batch", feeds={"rate": 0.5}), **batch)
    assert {name: array.tolist() for name, array in machine.engine.calls[0].feeds.items()} == {
        "x": [[1.0, 2.0]],
        "rate": 0.5,
    }


def test_what_is_neither_fed_nor_in_the_batch_is_left_to_the_state() -> None:
    assert fed({"rate": 1.0}, w=np.zeros(2)).keys() == {"rate"}


def test_a_result_of_a_graph_is_handed_on_as_it_is() -> None:
    loss = value(np.float32(2))
    machine = run(ops.Run("train", feeds={"rate": "loss"}), loss=loss)
    assert machine.engine.calls[0].given["rate"] is loss


@pytest.mark.parametrize(
    ("give", "results", "names"),
    [
        ("", {}, ("loss", "logits")),
        ("trained0", {}, ("trained0.loss", "trained0.logits")),
        ("trained0", {"loss": "loss"}, ("loss", "trained0.logits")),
        ("", {"logits": "current.logits"}, ("loss", "current.logits")),
    ],
)
def test_the_names_of_results(give: str, results: dict[str, str], names: tuple[str, str]) -> None:
    machine = run(ops.Run("train", give=give, results=results))
    assert [machine[name] for name in names] == [1.0, 2.0]
    assert len(machine.interpreter.values) == 1 + len(names)


def test_a_result_may_be_the_next_feed_and_its_own_next_value() -> None:
    add = ops.Run("add", feeds={"a": "sum", "b": "step"})
    machine = run(ops.Set("sum", 1), add, add)
    assert machine["sum"] == 15
    assert machine.interpreter.integer("sum") == 15


@pytest.mark.parametrize("column", ["g1", "g2"])
def test_a_column_takes_the_place_of_the_accumulators(column: ops.Column) -> None:
    machine = run(ops.Run("train", into=column), ops.Run("train"))
    assert machine.engine.calls[0].instead == {"v.sum": f"v.{column}", "w.sum": f"w.{column}"}
    assert machine.engine.calls[1].instead is None


def test_who_watches_sees_every_graph_behind_it() -> None:
    machine, seen = Machine((ops.Run("train"), ops.Run("add", feeds={"a": 1, "b": 2}))), []

    def watch(graph: str, results: Mapping[str, ort.OrtValue]) -> None:
        seen.append((graph, {name: result.numpy().tolist() for name, result in results.items()}))

    machine.interpreter.watch = watch
    machine.run()
    assert seen == [("train", {"loss": 1.0, "logits": 2.0}), ("add", {"sum": 3})]


@pytest.mark.parametrize(
    ("operation", "named"),
    [
        (ops.Run("nothing"), "nothing"),
        (ops.Run("train", feeds={"rate": "speed"}), "speed"),
        (ops.Run("train", feeds={"key": ("speed", 0, 0)}), "speed"),
        (ops.When((Condition("speed"),), ()), "speed"),
        (ops.Each("of", "speed", ()), "speed"),
        (ops.Set("step", "speed"), "speed"),
        (ops.Count("speed"), "speed"),
        (ops.Count("step", add="speed"), "speed"),
        (ops.Count("step", rows="speed"), "speed"),
        (ops.Slice("speed", "step", "step", "step", "rows"), "speed"),
        (ops.Gather("speed", "current"), "task"),
        (ops.Due("speed", ()), "speed"),
        (ops.Fail("{}", "speed"), "speed"),
        (ops.Call("speed"), "speed"),
    ],
)
def test_a_name_that_nothing_has_is_refused(operation: ops.Operation, named: str) -> None:
    with pytest.raises(KeyError, match=f"'{named}'"):
        run(operation, task=0) if named == "speed" else run(operation)


# when


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        (Condition("zero"), False),
        (Condition("five"), True),
        (Condition("yes"), True),
        (Condition("no"), False),
        (Condition("five", at_least=5), True),
        (Condition("five", at_least=6), False),
        (Condition("minus", at_least=0), False),
        (Condition("zero", at_least=0), True),
        (Condition("five", every=5), True),
        (Condition("five", every=2), False),
        (Condition("five", every=1), True),
        (Condition("zero", every=30), True),
    ],
)
def test_conditions(condition: Condition, wanted: bool) -> None:
    values = {"zero": 0, "five": value(5), "minus": -1, "yes": value(np.array(True)), "no": value(np.array(False))}
    machine = run(ops.When((condition,), (ops.Set("found", 1),), (ops.Set("found", 0),)), **values)
    assert machine["found"] == int(wanted)


@pytest.mark.parametrize(("a", "b", "wanted"), [(0, 0, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)])
def test_one_of_several_conditions_is_enough(a: int, b: int, wanted: int) -> None:
    machine = run(ops.Set("found", 0), ops.When((Condition("a"), Condition("b")), (ops.Set("found", 1),)), a=a, b=b)
    assert machine["found"] == wanted


def test_without_a_condition_nothing_holds() -> None:
    assert run(ops.Set("found", 0), ops.When((), (ops.Set("found", 1),)))["found"] == 0


# each, rows, slice, gather


@pytest.mark.parametrize(("last", "wanted"), [(0, [0]), (3, [0, 1, 2, 3])])
def test_each_runs_to_the_last_one_included(last: int, wanted: list[int]) -> None:
    block = (ops.Run("add", feeds={"a": "of", "b": 0}),)
    machine = run(ops.Each("of", "last", block), last=last)
    assert [call.feeds["a"].tolist() for call in machine.engine.calls] == wanted


@pytest.mark.parametrize(
    ("table", "chunks"),
    [("data", [[0, 1], [2, 3], [4]]), ("train", [[20, 21], [22, 23]]), ("test", [[14, 15], [16]])],
)
def test_rows_are_those_of_the_table_in_order(table: Any, chunks: list[list[int]]) -> None:
    block = (ops.Run("train", feeds={"raw": "seen.raw"}),)
    machine = run(ops.Rows(table, 2, "seen", block), task=1, of=0)
    assert [call.feeds["raw"].reshape(-1).tolist() for call in machine.engine.calls] == chunks
    assert machine["seen.labels"] == [number % 2 for number in chunks[-1]]
    assert machine["seen.classes"] == [0, 1]


def test_slices_go_on_where_the_last_one_ended() -> None:
    take = ops.Slice("order", "position", "batch", "length", "rows")
    machine = Machine((take,), order=value(np.array([5, 4, 3, 2, 1, 0])), position=0, batch=2, length=value(5))
    found = [machine.run()["rows"] for _ in range(4)]
    assert found == [[5, 4], [3, 2], [1], []]
    assert machine["position"] == 5


def test_a_slice_may_be_all_at_once() -> None:
    machine = run(
        ops.Slice("order", "position", "batch", "length", "rows"), order=np.arange(3), position=0, batch=99, length=3
    )
    assert machine["rows"] == [0, 1, 2]


def test_gather_takes_rows_of_the_tasks_samples() -> None:
    machine = run(ops.Gather("rows", "current"), task=1, rows=np.array([3, 0]))
    assert np.reshape(machine["current.raw"], -1).tolist() == [23, 20]
    assert machine["current.labels"] == [1, 0]
    assert machine["current.classes"] == [0, 1]


# reset, set, count, call


def test_reset_is_left_to_the_engine() -> None:
    assert run(ops.Reset(("a", "b")), ops.Reset(())).engine.resets == [("a", "b"), ()]


def test_set_takes_the_value_of_the_moment() -> None:
    machine = run(ops.Set("a", 3), ops.Set("b", "a"), ops.Set("a", "steps"), steps=value(8))
    assert (machine["a"], machine["b"]) == (8, 3)
    assert machine.interpreter.values["a"] == 8


def test_count_adds_constants_values_and_rows() -> None:
    tables = {"held": np.zeros((4, 2)), "given": value(np.zeros((3, 1), np.float32)), "two": value(2)}
    machine = run(
        ops.Count("step"),
        ops.Count("step", add=10),
        ops.Count("step", add="two"),
        ops.Count("step", rows="held"),
        ops.Count("step", rows="given"),
        **tables,
    )
    assert machine["step"] == 7 + 1 + 10 + 2 + 4 + 3


def test_call_runs_a_block_by_its_name() -> None:
    machine = run(ops.Call("other"), ops.Call("other"), more={"other": (ops.Count("step"),)})
    assert machine["step"] == 9


def test_counters_begin_with_their_first_values_and_vectors_are_values() -> None:
    machine = Machine((), vectors={"keep": (1, 2)}, batch=8)
    assert (machine["step"], machine["keep"], machine["batch"]) == (7, [1, 2], 8)


# fail


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (ops.Fail("the loss became {}", "loss"), "the loss became nan"),
        (ops.Fail("{} is no longer finite", "broken", ("a.weight", "b.weight")), "b.weight is no longer finite"),
    ],
)
def test_fail_says_why(operation: ops.Fail, message: str) -> None:
    with pytest.raises(TrainingError, match=f"^{message}$"):
        run(operation, loss=value(np.float64(np.nan)), broken=value(1))


# due

TENTH = (1, 10)
UPDATES = (
    Event((0, 1), "later", {"to": (0,)}),
    Event(TENTH, "first", {"to": (1,)}),
    Event(TENTH, "later", {"to": (2,)}),
    Event((2, 10), "all", {"to": (3,)}),
)
REMOVALS = (Event(TENTH, "all", {"share": (1, 2)}), Event((1, 5), "all", {"share": (3, 4)}))
EVENTS = {"mask_updates": UPDATES, "removals": REMOVALS}


class Agenda:
    """The events of a task of one epoch with a thousand steps."""

    def __init__(self, of_task: int) -> None:
        blocks: dict[str, Block] = {
            "updates": (ops.Due("mask_updates", (ops.Call("note"),)),),
            "removals": (ops.Due("removals", (ops.Call("note"),)),),
            "note": (ops.Count("ran"),),
        }
        values = {"ran": 0, "task": of_task, "epoch": 0, "epochs": 1, "total": 1000, "done": 0}
        self.machine = Machine((), events=EVENTS, more=blocks, **values)

    def due(self, kind: str, done: int) -> int:
        """The number of events that have run after this number of steps."""
        self.machine.interpreter.values |= {"done": done, "ran": 0}
        self.machine.interpreter.call(kind)
        return self.machine.interpreter.integer("ran")

    @property
    def last(self) -> list[int]:
        return list(self.machine["event.to"])


@pytest.mark.parametrize(("of_task", "wanted"), [(0, [1, 3]), (1, [0, 2, 3]), (7, [0, 2, 3])])
def test_a_task_gets_its_own_events(of_task: int, wanted: list[int]) -> None:
    agenda, ran = Agenda(of_task), []
    for done in range(1001):
        if agenda.due("updates", done):
            ran.append(agenda.last[0])
    assert ran == wanted
    assert agenda.due("removals", 1000) == len(REMOVALS)


def test_events_come_once_and_in_order() -> None:
    agenda = Agenda(1)
    assert (agenda.due("updates", 0), agenda.last) == (1, [0])
    assert agenda.due("updates", 99) == 0
    assert agenda.due("updates", 500) == 2
    assert agenda.last == [3]
    assert agenda.due("updates", 1000) == 0
    assert agenda.machine.interpreter.fired == {"mask_updates": 3, "removals": 0}


def test_every_kind_has_its_own_count() -> None:
    agenda = Agenda(0)
    assert agenda.due("removals", 50) == 0
    assert agenda.due("removals", 150) == 1
    assert agenda.machine["event.share"] == [1, 2]
    assert agenda.due("removals", 150) == 0
    assert agenda.due("removals", 200) == 1
    assert agenda.machine["event.share"] == [3, 4]
    assert agenda.due("removals", 1000) == 0


def test_an_event_may_name_a_vector() -> None:
    events = {"mask_updates": (Event((0, 1), "all", {"grow_to": "level.base", "share": (1, 2)}),)}
    values = {"task": 0, "epoch": 0, "epochs": 1, "total": 1, "done": 0}
    machine = run(ops.Due("mask_updates", ()), events=events, vectors={"level.base": (5, 6)}, **values)
    assert (machine["event.grow_to"], machine["event.share"]) == ([5, 6], [1, 2])


def test_an_event_that_changes_the_number_of_steps_makes_no_other_due() -> None:
    """All that is due at one place of the program is due by the steps that were there before."""
    events = {"removals": (Event((1, 2), "all", {}), Event((3, 4), "all", {}))}
    values = {"ran": 0, "task": 0, "epoch": 0, "epochs": 1, "total": 8, "done": 4}
    machine = run(ops.Due("removals", (ops.Count("ran"), ops.Set("total", 4))), events=events, **values)
    assert machine["ran"] == 1


def test_nothing_scheduled() -> None:
    values = {"task": 0, "epoch": 0, "epochs": 1, "total": 1, "done": 1}
    machine = run(ops.Due("removals", (ops.Count("step"),)), events={"removals": ()}, **values)
    assert machine["step"] == 7


@pytest.mark.parametrize(
    ("at", "where", "wanted"),
    [
        ((3, 10), (0, 1, 3, 10), True),  # 3 / 10 is no number of floating point
        ((3, 10), (0, 1, 2999999, 10**7), False),
        ((0, 1), (0, 1, 0, 1), True),
        ((1, 1), (4, 5, 9, 10), False),
        ((1, 1), (4, 5, 10, 10), True),
        ((1, 3), (0, 3, 10, 10), True),
        ((1, 3), (1, 3, 0, 10), True),
        ((1, 3), (0, 3, 9, 10), False),
        ((1, 10), (0, 1, 1, 1), True),
        ((999999999999, 10**12), (0, 1, 10**9 - 1, 10**9), False),
    ],
)
def test_a_share_of_a_task_is_compared_in_integers(
    at: tuple[int, int], where: tuple[int, int, int, int], wanted: bool
) -> None:
    assert reached(at, *where) is wanted


def test_every_operation_has_its_verb() -> None:
    assert set(VERBS) == set(get_args(ops.Operation))
