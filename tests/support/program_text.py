"""A program as readable text, which the golden tests compare."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sparcl_compile.interface import program as ops

INDENT = "  "


def text(block: ops.Block) -> str:
    """The operations of a block, one a line, with the blocks that they hold below them."""
    return "\n".join(lines(block))


def lines(block: ops.Block) -> Iterator[str]:
    """The text of the operations of a block, line by line."""
    for operation in block:
        yield from FORMS[type(operation)](operation)


def _inside(block: ops.Block) -> Iterator[str]:
    return (INDENT + line for line in lines(block))


def _run(op: ops.Run) -> Iterator[str]:
    given = [f"{op.take}.*"] if op.take else []
    given += dict.fromkeys(_fed(name, source) for name, source in op.feeds.items())
    results = [f"{op.give}.*"] if op.give else []
    results += [f"{name} as {value}" for name, value in op.results.items()]
    into = f" into {op.into}" if op.into else ""
    yield f"{op.graph}({', '.join(given)}){into}{' -> ' if results else ''}{', '.join(results)}"


def _fed(name: str, source: ops.Source) -> str:
    """One feed; the fields of a batch that go by their own names are written as one."""
    side, _, field = name.rpartition(".")
    batch, _, of_batch = str(source).rpartition(".")
    return f"{side}.*={batch}.*" if side and field == of_batch else f"{name}={_source(source)}"


def _source(source: ops.Source) -> str:
    return f"[{', '.join(map(str, source))}]" if isinstance(source, tuple) else str(source)


def _when(op: ops.When) -> Iterator[str]:
    yield f"when {' or '.join(map(_condition, op.any))}:"
    yield from _inside(op.then)
    if op.otherwise:
        yield "else:"
        yield from _inside(op.otherwise)


def _condition(one: ops.Condition) -> str:
    if one.at_least is not None:
        return f"{one.value} >= {one.at_least}"
    return f"{one.value} every {one.every}" if one.every else one.value


def _each(op: ops.Each) -> Iterator[str]:
    yield f"each {op.name} to {op.last}:"
    yield from _inside(op.block)


def _rows(op: ops.Rows) -> Iterator[str]:
    yield f"rows of {op.table}, {op.at_most} at most, as {op.give}:"
    yield from _inside(op.block)


def _slice(op: ops.Slice) -> Iterator[str]:
    yield f"slice {op.vector} at {op.position}, {op.count} until {op.end}, as {op.give}"


def _gather(op: ops.Gather) -> Iterator[str]:
    yield f"gather {op.rows} as {op.give}"


def _reset(op: ops.Reset) -> Iterator[str]:
    yield f"reset {', '.join(op.state)}"


def _set(op: ops.Set) -> Iterator[str]:
    yield f"{op.name} = {op.to}"


def _count(op: ops.Count) -> Iterator[str]:
    yield f"{op.name} += {f'rows of {op.rows}' if op.rows else op.add}"


def _due(op: ops.Due) -> Iterator[str]:
    yield f"due {op.events}:"
    yield from _inside(op.block)


def _fail(op: ops.Fail) -> Iterator[str]:
    yield f"fail '{op.message}' of {op.of}{f' in {list(op.names)}' if op.names else ''}"


def _call(op: ops.Call) -> Iterator[str]:
    yield f"call {op.block}"


FORMS: Mapping[type, Callable[[Any], Iterator[str]]] = {
    ops.Run: _run,
    ops.When: _when,
    ops.Each: _each,
    ops.Rows: _rows,
    ops.Slice: _slice,
    ops.Gather: _gather,
    ops.Reset: _reset,
    ops.Set: _set,
    ops.Count: _count,
    ops.Due: _due,
    ops.Fail: _fail,
    ops.Call: _call,
}
