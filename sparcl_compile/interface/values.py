"""The values of a program, traced before it runs: every operation reads only what is given by then.

Values are given by the driver (options, counters, vectors), by operations, and by the state. They stay until they are
given anew, so that a step may read what an epoch's beginning has given. What one branch of a ``when`` gives is there
behind it under the same conditions, until a value that these name is given anew.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

from sparcl_compile.interface import program as ops
from sparcl_compile.interface.manifest import Manifest

OPTIONS = ("seed", "batch", "epochs", "learning_rate", "augment", "class_order_seed", "classes_in_data")
"""Values that a driver takes from the options of a run."""
COUNTERS = ("task", "epoch", "step", "task_step", "samples_seen")
"""The counters that a driver reads, beside those of the result."""
RESULT = (
    *("class_il", "task_il", "forgetting", "backward_transfer", "learning_accuracy", "task_forgetting"),
    *("task_backward_transfer", "task_learning_accuracy", "paper_dense", "paper_sparse", "true_dense", "true_sparse"),
    *("overall", "per_layer", "gradient_overall", "gradient_per_layer", "all_parameters"),
)
REPORTED = (
    *("accuracy", "by_class", "overall", "gradient_overall", "all_parameters"),
    *("paper_dense", "paper_sparse", "true_dense", "true_sparse"),
)
READ: Mapping[str, tuple[str, ...]] = {
    "class_order": ("order",),
    "begin_epoch": ("done", "total"),
    "step": ("done", "total", "loss", "now.overall"),
    "end_epoch": ("mean", "now.overall"),
    "end_task": ("class_mean", "task_mean"),
    "end_run": tuple(f"result.{name}" for name in RESULT),
    "predict": ("probability", "best"),
    "report": tuple(f"result.{name}" for name in REPORTED),
    "resize": ("resized",),
}
"""Values that a driver reads behind a block, beside counters."""
EPOCH = ("begin_epoch", "step", "step", "end_epoch", "end_task")
"""An epoch and what may come behind it. A resumed run begins here, and a second step finds what the first has left."""
APART: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("class_order", "statistics", "begin_task", "end_run", "close_task", "begin_score", "report"), ()),
    "predict": ("asked.raw", "asked.classes"),
    "score": ("asked.raw", "asked.labels", "asked.classes"),
    "resize": ("given.x",),
}
"""Blocks that may be the first of all, or are not called in every run: nothing is there but what the driver gives."""
ROWS = ("raw", "labels", "classes")
"""Values that a table gives."""
TABLES = {"data": (), "train": ("task",), "test": ("of",)}
"""The value that says which of the tables of this name is meant."""
DUE = ("task", "epoch", "epochs", "done", "total")
"""Values that decide whether an event is due."""
MOST = 100_000
"""Operations that are traced: blocks that call others several times each could take for ever."""

Guard: TypeAlias = tuple[tuple[ops.Condition, ...], bool]
"""The conditions of a ``when``, and whether one of them holds."""
Names: TypeAlias = frozenset[str]
V = TypeVar("V")


class UnknownValue(KeyError):
    """A program reads a value that nothing has given; the argument says which."""


class Values(dict[str, V]):
    """Named values; a name that has none raises UnknownValue."""

    def __missing__(self, name: str) -> V:
        """Refuse the name."""
        raise UnknownValue(f"nothing gives {name!r}")


@dataclasses.dataclass(frozen=True)
class Known:
    """The values that are there at a point of a program.

    Attributes:
        given: in any case.
        under: more of them by the guard under which they are there.
    """

    given: Names
    under: Mapping[Guard, Names]

    def give(self, names: Iterable[str]) -> "Known":
        """These values and more; what was there under conditions on them is not sure any more."""
        new = frozenset(names)
        kept = {guard: held for guard, held in self.under.items() if not any(one.value in new for one in guard[0])}
        return Known(self.given | new, kept)

    def within(self, guard: Guard) -> "Known":
        """The values in a branch."""
        return Known(self.given | self.under.get(guard, frozenset()), {guard: frozenset(), **self.under})

    def join(self, other: "Known") -> "Known":
        """The values behind two branches."""
        given = self.given & other.given
        guards = {*self.under, *other.under}
        return Known(given, {one: (self._all(one) & other._all(one)) - given for one in guards})

    def _all(self, guard: Guard) -> Names:
        return self.given | self.under.get(guard, frozenset())


def check_values(manifest: Manifest) -> None:
    """Trace the program of a manifest whose names lead somewhere.

    Raises:
        ValueError: an operation, or the driver behind a block, reads a value that nothing has given; the message names
            both.
    """
    counters = manifest.program.counters
    for name in COUNTERS:
        if name not in counters:
            raise ValueError(f"program.counters has no {name!r}")
        if counters[name]:
            raise ValueError(f"program.counters begins {name!r} at {counters[name]}; a run begins at 0")
    start = Known(frozenset((*OPTIONS, *counters, *manifest.program.vectors)), {})
    trace = _Trace(manifest)
    for name, given in APART.items():
        if name in manifest.program.blocks:
            trace.called(name, start.give(given))
    known = start
    for name in EPOCH:
        known = trace.called(name, known)
    if manifest.program.kept:
        _check_kept(manifest.program, trace, start)


def _check_kept(program: ops.Program, trace: "_Trace", start: Known) -> None:
    """Check that an epoch can go on with what is kept of it: that is there, and enough for the steps behind it."""
    begun = trace.called("begin_epoch", start).given
    for name in program.kept:
        if name not in begun:
            raise ValueError(f"program.kept names {name!r}, which the beginning of an epoch does not give")
    known = start.give(program.kept)
    for name in ("step", "step", "end_epoch", "close_task" if "close_task" in program.blocks else "end_task"):
        known = trace.called(name, known)


class _Trace:
    """Walks through the blocks of a program."""

    def __init__(self, manifest: Manifest) -> None:
        self._program, self._graphs = manifest.program, manifest.graphs
        self._state = {spec.name for spec in manifest.state}
        weights = manifest.weights
        self._columns = {column: {one.accumulator: getattr(one, column) for one in weights} for column in ("g1", "g2")}
        self._traced = 0

    def called(self, name: str, known: Known) -> Known:
        """The values behind a block that the driver calls, which then reads some of them."""
        known = self._block(f"program.blocks.{name}", self._program.blocks[name], known)
        for read in READ.get(name, ()):
            if read not in known.given:
                raise ValueError(f"program.blocks.{name} does not give {read!r}, which is read behind it")
        return known

    def _block(self, where: str, block: ops.Block, known: Known) -> Known:
        for number, operation in enumerate(block):
            self._traced += 1
            if self._traced > MOST:
                raise ValueError(f"{where} and others come to more than {MOST} operations")
            known = TRACES[type(operation)](self, f"{where}[{number}]", operation, known)
        return known

    def _read(self, where: str, known: Known, *names: object) -> None:
        """Refuse a name that has no value; constants are none."""
        for name in names:
            if isinstance(name, str) and name not in known.given:
                raise ValueError(f"{where} reads {name!r}, which nothing gives")

    def _run(self, where: str, op: ops.Run, known: Known) -> Known:
        where, graph = f"{where} (run {op.graph})", self._graphs[op.graph]
        inputs = {one.name for one in graph.inputs}
        for name in inputs & op.feeds.keys():
            source = op.feeds[name]
            self._read(where, known, *(source if isinstance(source, tuple) else (source,)))
        instead = self._columns.get(op.into, {})
        for name in sorted(inputs - op.feeds.keys()):
            if f"{op.take}.{name}" not in known.given and instead.get(name, name) not in self._state:
                raise ValueError(f"{where} reads {instead.get(name, name)!r}, which nothing gives")
        return known.give(op.results.get(one) or ".".join(filter(None, (op.give, one))) for one in graph.results)

    def _when(self, where: str, op: ops.When, known: Known) -> Known:
        self._read(f"{where} (when)", known, *(one.value for one in op.any))
        ends = []
        for holds, name, block in ((True, "then", op.then), (False, "otherwise", op.otherwise)):
            guard = (op.any, holds)
            ends.append((guard, self._block(f"{where}.{name}", block, known.within(guard))))
        joined = ends[0][1].join(ends[1][1])
        if not all(guard in end.under for guard, end in ends):  # a branch changes what the conditions name
            return joined
        return Known(joined.given, {**joined.under, **{guard: end.given - joined.given for guard, end in ends}})

    def _repeated(self, where: str, block: ops.Block, known: Known, given: Iterable[str]) -> Known:
        """The values behind a block that runs once or more; the second time it finds what the first has left."""
        names = tuple(given)
        for _ in range(2):
            known = self._block(f"{where}.block", block, known.give(names))
        return known

    def _each(self, where: str, op: ops.Each, known: Known) -> Known:
        self._read(f"{where} (each)", known, op.last)
        return self._repeated(where, op.block, known, (op.name,))

    def _rows(self, where: str, op: ops.Rows, known: Known) -> Known:
        self._read(f"{where} (rows)", known, *TABLES[op.table])
        return self._repeated(where, op.block, known, (f"{op.give}.{name}" for name in ROWS))

    def _slice(self, where: str, op: ops.Slice, known: Known) -> Known:
        self._read(f"{where} (slice)", known, op.vector, op.position, op.count, op.end)
        return known.give((op.give, op.position))

    def _gather(self, where: str, op: ops.Gather, known: Known) -> Known:
        self._read(f"{where} (gather)", known, op.rows, *TABLES["train"])
        return known.give(f"{op.give}.{name}" for name in ROWS)

    def _reset(self, _where: str, _op: ops.Reset, known: Known) -> Known:
        return known

    def _set(self, where: str, op: ops.Set, known: Known) -> Known:
        self._read(f"{where} (set)", known, op.to)
        return known.give((op.name,))

    def _count(self, where: str, op: ops.Count, known: Known) -> Known:
        self._read(f"{where} (count)", known, op.name, op.rows or op.add)
        return known.give((op.name,))

    def _due(self, where: str, op: ops.Due, known: Known) -> Known:
        self._read(f"{where} (due)", known, *DUE)
        fed = [frozenset(f"event.{name}" for name in event.feeds) for event in self._program.events[op.events]]
        if not fed:
            return known
        return known.join(self._repeated(where, op.block, known, frozenset.intersection(*fed)))

    def _fail(self, where: str, op: ops.Fail, known: Known) -> Known:
        self._read(f"{where} (fail)", known, op.of)
        return known

    def _call(self, _where: str, op: ops.Call, known: Known) -> Known:
        return self._block(f"program.blocks.{op.block}", self._program.blocks[op.block], known)


TRACES: Mapping[type, Callable[[_Trace, str, Any, Known], Known]] = {
    ops.Run: _Trace._run,
    ops.When: _Trace._when,
    ops.Each: _Trace._each,
    ops.Rows: _Trace._rows,
    ops.Slice: _Trace._slice,
    ops.Gather: _Trace._gather,
    ops.Reset: _Trace._reset,
    ops.Set: _Trace._set,
    ops.Count: _Trace._count,
    ops.Due: _Trace._due,
    ops.Fail: _Trace._fail,
    ops.Call: _Trace._call,
}
