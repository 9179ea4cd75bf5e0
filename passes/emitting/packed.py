"""The evaluation of the network that a task has left among the weights of later ones (PackNet)."""

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.roles import role_of, set_role
from sparcl_compile.passes.core.values import BOOL, INT64, constant, dims, feed

OWNER, OF_TASKS = ".owner", ".of_tasks"
"""Endings of the state that says whose a weight is, and of the statistics at the end of each task."""
NUMBER = ir.TensorType(ir.DataType.FLOAT)


def to_packed(made_by: Pass, model: ir.Model, packed: Collection[str]) -> None:
    """Let an evaluation graph compute the network of task ``of``, in place (Mallya and Lazebnik, CVPR 2018).

    1. ``of`` int64 [], from 0, is a new input. A packed weight counts where its owner is task ``of`` or an earlier one,
       and is 0 elsewhere.
    2. Running statistics are the row ``of`` of those at the end of each task.

    Args:
        made_by: the pass whose nodes these are.
        model: the graph, with its state as inputs.
        packed: the names of the packed weights.
    """
    graph = model.graph
    of, state = feed(graph, "of", [], INT64), list(graph.inputs)
    insert = made_by.inserter(graph).before(graph[0])
    one, zero = (constant(graph, f"packed.{n}", np.array(n, np.float32)) for n in (1, 0))
    task = insert.op("Cast", of, name="packed.of", shape=[], dtype=NUMBER, to=int(ir.DataType.FLOAT))
    last = insert.op("Add", task, one, name="packed.last", shape=[])
    for value in state:
        name = str(value.name)
        if name in packed:
            owners = set_role(feed(graph, f"{name}{OWNER}", dims(value)), Role.METHOD)
            early = insert.op("LessOrEqual", owners, last, name=f"{name}.is_early", like=value, dtype=BOOL)
            owned = insert.op("GreaterOrEqual", owners, one, name=f"{name}.is_owned", like=value, dtype=BOOL)
            counts = insert.op("And", early, owned, name=f"{name}.counts", like=value, dtype=BOOL)
            _replace(value, insert.op("Where", counts, value, zero, name=f"{name}.of_task", like=value))
        if role_of(value) is Role.RUNNING_STAT:
            rows = set_role(feed(graph, f"{name}{OF_TASKS}", ["tasks", *dims(value)]), Role.METHOD)
            _replace(value, insert.op("Gather", rows, of, name=f"{name}.of_task", like=value, axis=0))
            graph.inputs[:] = [other for other in graph.inputs if other is not value]


def _replace(value: ir.Value, other: ir.Value) -> None:
    """Let all others read another value."""
    maker = other.producer()
    for usage in list(value.uses()):
        if usage.node is not maker:
            usage.node.replace_input_with(usage.idx, other)
