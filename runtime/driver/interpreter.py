"""Interprets a program: the operations of interface/program.py over named values. It knows no method."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from sparcl_compile.interface import program as ops
from sparcl_compile.interface.errors import TrainingError
from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.interface.specs import InputSpec
from sparcl_compile.interface.values import Values
from sparcl_compile.runtime.data.tables import Tables
from sparcl_compile.runtime.session.engine import Engine

Value: TypeAlias = "ort.OrtValue | np.ndarray | tuple[int, ...] | float"
"""A named value of a program; an integer may be a result of a graph."""
Watch: TypeAlias = Callable[[str, Mapping[str, "ort.OrtValue"]], None]
"""Called after each graph with its name and its results."""


class Interpreter:
    """Runs the blocks of a program.

    Attributes:
        values: the named values: counters, options of the run, results of graphs.
        fired: how many events of each kind have run in this task.
        watch: called after each graph; None where nothing watches.
    """

    def __init__(self, engine: Engine, program: ops.Program, tables: Tables, options: Mapping[str, Value]) -> None:
        self.values: Values[Value] = Values({**program.counters, **program.vectors, **options})
        self.fired = dict.fromkeys(program.events, 0)
        self.watch: Watch | None = None
        self._engine, self._program, self._tables = engine, program, tables
        weights = engine.manifest.weights
        self._columns = {column: {w.accumulator: getattr(w, column) for w in weights} for column in ("g1", "g2")}

    def call(self, block: str) -> None:
        """Run a block by its name; raises TrainingError where the program fails."""
        self._block(self._program.blocks[block])

    def integer(self, name: str) -> int:
        """The value of this name as an integer."""
        value: Any = self.values[name]
        return int(value.numpy() if isinstance(value, ort.OrtValue) else value)

    def array(self, name: str) -> np.ndarray:
        """The value of this name as an array, a view where it is a tensor."""
        value = self.values[name]
        return np.asarray(value.numpy() if isinstance(value, ort.OrtValue) else value)

    def _block(self, block: ops.Block) -> None:
        for operation in block:
            VERBS[type(operation)](self, operation)

    def _run(self, op: ops.Run) -> None:
        inputs = {spec.name: spec for spec in self._engine.spec(op.graph).inputs}
        sources = {name: op.feeds.get(name, f"{op.take}.{name}") for name in inputs}
        feeds = {
            name: self._tensor(source, inputs[name])
            for name, source in sources.items()
            if name in op.feeds or source in self.values
        }
        results = self._engine.run(op.graph, feeds, self._columns[op.into] if op.into else None)
        for name, value in results.items():
            self.values[op.results.get(name) or ".".join(filter(None, (op.give, name)))] = value
        if self.watch:
            self.watch(op.graph, results)

    def _tensor(self, source: ops.Source, spec: InputSpec) -> np.ndarray | ort.OrtValue:
        """The value of a source, in the dtype of the input; a constant without a shape takes the input's."""
        value: Any = self.values[source] if isinstance(source, str) else source
        if isinstance(value, ort.OrtValue):
            return value
        if isinstance(source, tuple):
            value = [self.array(part).item() if isinstance(part, str) else part for part in source]
        array = np.asarray(value, self._engine.sizes.dtype(spec.dtype))
        return array if array.ndim else np.broadcast_to(array, [d for d in spec.shape if isinstance(d, int)])

    def _when(self, op: ops.When) -> None:
        self._block(op.then if any(map(self._holds, op.any)) else op.otherwise)

    def _holds(self, condition: ops.Condition) -> bool:
        value = self.integer(condition.value)
        if condition.at_least is not None:
            return value >= condition.at_least
        return value % condition.every == 0 if condition.every else bool(value)

    def _each(self, op: ops.Each) -> None:
        for number in range(self.integer(op.last) + 1):
            self.values[op.name] = number
            self._block(op.block)

    def _rows(self, op: ops.Rows) -> None:
        table = self._tables.table(op.table, self.integer)
        for rows in table.chunks(op.at_most):
            self._give(op.give, rows.fields())
            self._block(op.block)

    def _slice(self, op: ops.Slice) -> None:
        start = self.integer(op.position)
        stop = min(start + self.integer(op.count), self.integer(op.end))
        self.values |= {op.give: self.array(op.vector)[start:stop], op.position: stop}

    def _gather(self, op: ops.Gather) -> None:
        self._give(op.give, self._tables.table("train", self.integer).rows(self.array(op.rows)).fields())

    def _give(self, prefix: str, values: Mapping[str, np.ndarray]) -> None:
        self.values |= {f"{prefix}.{name}": value for name, value in values.items()}

    def _reset(self, op: ops.Reset) -> None:
        self._engine.reset(op.state)

    def _set(self, op: ops.Set) -> None:
        self.values[op.name] = self.integer(op.to) if isinstance(op.to, str) else op.to

    def _count(self, op: ops.Count) -> None:
        more = self.integer(op.add) if isinstance(op.add, str) else op.add
        self.values[op.name] = self.integer(op.name) + (self._length(op.rows) if op.rows else more)

    def _length(self, name: str) -> int:
        value = self.values[name]
        return int(value.shape()[0]) if isinstance(value, ort.OrtValue) else len(self.array(name))

    def _due(self, op: ops.Due) -> None:
        kind = "first" if self.integer("task") == 0 else "later"
        events = [event for event in self._program.events[op.events] if event.tasks in (kind, "all")]
        made = [self.integer(name) for name in ("epoch", "epochs", "done", "total")]
        while self.fired[op.events] < len(events) and reached(events[self.fired[op.events]].at, *made):
            event = events[self.fired[op.events]]
            self.fired[op.events] += 1
            given = ((name, self.values[one] if isinstance(one, str) else one) for name, one in event.feeds.items())
            self.values |= {f"event.{name}": numbers for name, numbers in given}
            self._block(op.block)

    def _fail(self, op: ops.Fail) -> None:
        shown = op.names[self.integer(op.of)] if op.names else self.array(op.of).item()
        raise TrainingError(op.message.format(shown))

    def _call(self, op: ops.Call) -> None:
        self.call(op.block)


def reached(at: tuple[int, int], epoch: int, epochs: int, done: int, total: int) -> bool:
    """Whether a share of the task is reached with ``done`` of ``total`` steps of this epoch, compared in integers."""
    numerator, denominator = at
    return (epoch * total + done) * denominator >= numerator * total * epochs


VERBS: Mapping[type, Callable[[Interpreter, Any], None]] = {
    ops.Run: Interpreter._run,
    ops.When: Interpreter._when,
    ops.Each: Interpreter._each,
    ops.Rows: Interpreter._rows,
    ops.Slice: Interpreter._slice,
    ops.Gather: Interpreter._gather,
    ops.Reset: Interpreter._reset,
    ops.Set: Interpreter._set,
    ops.Count: Interpreter._count,
    ops.Due: Interpreter._due,
    ops.Fail: Interpreter._fail,
    ops.Call: Interpreter._call,
}
