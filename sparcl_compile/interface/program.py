"""The program of an artifact: the continual loop as data, which a driver interprets (docs/interfaces.md).

A block is a list of operations over named values. A driver knows the operations below and no method: which graphs make
a step, what they are fed with and when the masks change stands in the blocks.
"""

from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

Source: TypeAlias = str | int | float | tuple[str | int, ...]
"""Source of an input: the name of a value, a constant, or a vector of constants and of values of one element.

A constant takes the dtype of the input, and its shape where that is fixed.
"""

Column: TypeAlias = Literal["", "g1", "g2"]
"""A column of names in the manifest's ``weights``; empty for none."""

Block: TypeAlias = tuple["Operation", ...]


class Run(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="do", tag="run"):
    """Run a graph.

    An input is fed, in this order, from ``feeds``, from the value ``TAKE.INPUT``, and from the state of its name. What
    ``feeds`` has for an input that the graph lacks is left out.

    Attributes:
        graph: name in the manifest; where it has a file for each dtype of samples, the one of the data is meant.
        take: prefix of the values that feed the other inputs.
        feeds: sources of single inputs.
        give: prefix under which every result becomes a value, ``GIVE.RESULT``; without one a result keeps its name.
        results: other names of single results' values.
        into: the column of a weight's names whose tensors the graph uses in place of the gradient accumulators.
    """

    graph: str
    take: str = ""
    feeds: dict[str, Source] = {}
    give: str = ""
    results: dict[str, str] = {}
    into: Column = ""


class Condition(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Whether an integer value is at least ``at_least``, or a multiple of ``every``; with neither, whether it is not 0.

    ``every`` is from 1.
    """

    value: str
    at_least: int | None = None
    every: int | None = None


class When(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="do", tag="when"):
    """Run the operations of ``then`` where one of the conditions holds, else those of ``otherwise``."""

    any: tuple[Condition, ...]
    then: "Block"
    otherwise: "Block" = ()


class Each(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="each"):
    """Run operations with the integer ``name`` from 0 to the value ``last``, both included."""

    name: str
    last: str
    block: "Block"


class Rows(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="rows"):
    """Run operations for each chunk of a table's rows in order, ``at_most`` so many rows in one.

    Attributes:
        table: ``data`` (all training samples), ``train`` (those of the task) or ``test`` (the test set of task ``of``).
        at_most: rows of a chunk.
        give: prefix of the values ``GIVE.raw``, ``GIVE.labels`` and ``GIVE.classes``, the labels of the whole table.
        block: the operations.
    """

    table: Literal["data", "train", "test"]
    at_most: int
    give: str
    block: "Block"


class Slice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="slice"):
    """Take the next elements of a vector, at most ``count`` from ``position`` on and none from ``end`` on.

    Every field names a value; the elements become the value ``give``, and ``position`` moves behind them.
    """

    vector: str
    position: str
    count: str
    end: str
    give: str


class Gather(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="gather"):
    """Take rows of the task's training samples.

    Attributes:
        rows: name of the row numbers.
        give: prefix of the values ``GIVE.raw``, ``GIVE.labels`` and ``GIVE.classes``, the labels of the task.
    """

    rows: str
    give: str


class Reset(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="reset"):
    """Put state tensors to their first values, in the sizes that the data have now."""

    state: tuple[str, ...]


class Set(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="set"):
    """Set an integer value to a constant or to another integer value."""

    name: str
    to: int | str


class Count(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="do", tag="count"):
    """Add to an integer value: ``add``, a constant or another value, or the number of rows of the value ``rows``."""

    name: str
    add: int | str = 1
    rows: str = ""


class Due(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="due"):
    """Run a block for each event of the task whose time has come, in order; its feeds are the values ``event.NAME``."""

    events: str
    block: "Block"


class Fail(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="do", tag="fail"):
    """End the training with an error.

    Attributes:
        message: why; ``{}`` stands for the value ``of``, or for the name of this number among ``names``.
        of: name of a value.
        names: names of numbers.
    """

    message: str
    of: str
    names: tuple[str, ...] = ()


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="call"):
    """Run a block by name."""

    block: str


Operation: TypeAlias = Run | When | Each | Rows | Slice | Gather | Reset | Set | Count | Due | Fail | Call

INNER = ("then", "otherwise", "block")
"""Fields of operations that hold operations."""


def operations(block: Block) -> Iterator[Operation]:
    """Return all operations of a block with those inside of them."""
    for operation in block:
        yield operation
        for field in INNER:
            inner = getattr(operation, field, ())
            yield from operations(inner) if isinstance(inner, tuple) else ()


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that happens once in a task.

    It is due when ``(epoch * total + done) * denominator >= numerator * total * epochs``, where ``done`` of the
    ``total`` steps of this epoch are made.

    Attributes:
        at: numerator and denominator of the share of the task at which it is due.
        tasks: the tasks that have it.
        feeds: what its block may feed: integers, or the name of a vector of the program.
    """

    at: tuple[int, int]
    tasks: Literal["first", "later", "all"]
    feeds: dict[str, str | tuple[int, ...]]


class Program(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The loop of an artifact.

    A driver calls these blocks: ``class_order`` where the classes come in the order of a seed; ``statistics`` where the
    data's mean and deviation are not known; for every task ``begin_task``, for every epoch ``begin_epoch``, ``step``
    while ``done`` is below ``total``, and ``end_epoch``; behind every task ``end_task``; at last ``end_run``. One that
    learns in an app calls ``close_task`` behind a task, ``predict``, ``begin_score``, ``score`` and ``report``, and
    where there is one ``resize`` (docs/learner.md). The other blocks are called by these.

    Attributes:
        counters: integers of a run with their first values; a checkpoint holds them.
        vectors: integers that are values from the start: the kept counts of each level, for example.
        blocks: the operations by name.
        events: the events by kind, in the order of their times.
        least_buffer: the fewest rows of the replay buffer that the program can do with.
        kept: the values that the steps of an epoch hand on; a checkpoint in the middle of an epoch holds them.
        train: what the table ``train`` holds: the samples of the task, or of all tasks so far, one task after another.
    """

    counters: dict[str, int]
    vectors: dict[str, tuple[int, ...]]
    blocks: dict[str, "Block"]
    events: dict[str, tuple[Event, ...]]
    least_buffer: int = 1
    kept: tuple[str, ...] = ()
    train: Literal["task", "seen"] = "task"
