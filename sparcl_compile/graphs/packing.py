"""The state of PackNet, which its graphs share: which task each weight belongs to."""

import dataclasses

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.gradients import Gradient, kept

OWNER = "owner"
"""Suffix of the state with the owner of each weight: 0 for none yet, k for task k, from 1."""
LEFT = -1.0
"""The owner of a weight that was pruned in this task: a later one will have it."""
OF_TASKS = "of_tasks"
"""Ending of the state with the running statistics at the end of each task."""


@dataclasses.dataclass(frozen=True)
class Packing:
    """The parameters of a model by what PackNet does with them.

    Attributes:
        packed: the weights that tasks share out among themselves.
        shared: the parameters that the first task alone trains.
        states: the names of the optimizer states of each packed weight.
        statistics: the names and lengths of the running statistics.
    """

    packed: tuple[Gradient, ...]
    shared: tuple[Gradient, ...]
    states: tuple[tuple[str, ...], ...]
    statistics: tuple[tuple[str, int], ...]


def owner(b: Builder, one: Gradient) -> ir.Value:
    """Add the owners of a weight as state: float32 of its shape."""
    return kept(b, one, OWNER)


def number_of_task(b: Builder) -> ir.Value:
    """Add the feed ``task``, int64 [] from 0, and return its number from 1: float32 []."""
    return b.cast(b.op.Add(b.feed("task", INT64, []), 1), FLOAT)


def trains(b: Builder, owners: ir.Value, task: ir.Value) -> ir.Value:
    """Whether a weight trains in a task: it has no owner, or the task is its owner. bool of the owners' shape."""
    return b.op.Or(b.op.Equal(owners, 0.0), b.op.Equal(owners, task))
