"""The sense of a manifest beyond the types of its fields: its names lead somewhere, its files lie in the artifact."""

import math
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from sparcl_compile.interface import program as ops
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.program import Program, operations
from sparcl_compile.interface.specs import GraphSpec, StateSpec
from sparcl_compile.interface.values import check_values

CALLED = (*("class_order", "statistics", "begin_task", "begin_epoch", "step", "end_epoch", "end_task", "end_run"),)
"""The blocks that the driver of a whole run calls."""
IN_APPS = ("close_task", "predict", "begin_score", "score", "report")
"""The blocks that a learner in an app calls besides; none of them is there where the method is not for apps."""
SAMPLES = ("uint8", "float32")
"""The types of raw samples; an artifact may have its graphs for one of them alone."""
COPY = "copy:"
DIMENSIONS = ("samples", "buffer", "tasks", "C", "H", "W")
"""The lengths of state that only a run knows."""
DRIVER_STATE = ("data.mean", "data.std", "accuracy.class", "accuracy.task")
"""State that a driver reads or sets itself."""
DRIVER_GRAPHS = {"standardise": "x_ready", "eval": "logits"}
"""Graphs that predictions and exports are made with, beside a program, and their results."""
FIRST_VALUES = ("file", "zeros", "ones", "nan")
COLUMNS = ("mask", "index", "rows", "gradient_mask", "gradient_rows")
MOST_NUMBERS = 2**31
"""The most numbers of a sample."""


def check(manifest: Manifest) -> None:
    """Check a manifest that has the right types.

    Raises:
        ValueError: a name leads nowhere, a path leads out of the artifact, or a number makes no sense; the message says
            where.
    """
    for name in manifest.files:
        check_path(name, "files")
    _known("state_file", [manifest.state_file], manifest.files)
    _check_state(manifest)
    for name, graph in manifest.graphs.items():
        _check_graph(f"graphs.{name}", graph, manifest)
    _check_driver(manifest)
    _check_weights(manifest)
    _check_program(manifest)
    if math.prod(length or 1 for length in manifest.model.input_shape) > MOST_NUMBERS:
        raise ValueError(f"model.input_shape has more than {MOST_NUMBERS:,} numbers")
    if manifest.model.classes < 1:
        raise ValueError("model.classes is below 1")
    if manifest.model.rows is not None and manifest.model.rows < 1:
        raise ValueError("model.rows is below 1")


def check_path(path: str, where: str) -> None:
    """Raise ValueError for a path that could lead out of a folder."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path or ":" in parts[0]:
        raise ValueError(f"{where} names {path!r}, which may lie outside of the artifact")


def _known(where: str, names: Iterable[str], known: Iterable[str]) -> None:
    lost = sorted(set(names) - set(known))
    if lost:
        raise ValueError(f"{where} names {lost[0]!r}, which there is not")


def _check_state(manifest: Manifest) -> None:
    names = [spec.name for spec in manifest.state]
    if len(set(names)) != len(names):
        raise ValueError("state names a tensor twice")
    for spec in manifest.state:
        where = f"state {spec.name}"
        if any(isinstance(length, int) and length < 0 for length in spec.shape):
            raise ValueError(f"{where} has a length below 0")
        if spec.init.startswith(COPY):
            _known(f"{where} init", [spec.init.removeprefix(COPY)], {*names} - {spec.name})
        elif spec.init not in FIRST_VALUES:
            raise ValueError(f"{where} begins with {spec.init!r}, which is no first value")
        if spec.init == "file" and not all(isinstance(length, int) for length in spec.shape):
            raise ValueError(f"{where} lies in the file, and its shape has lengths that vary")
        _known(where, [length for length in spec.shape if isinstance(length, str)], DIMENSIONS)


def _check_graph(where: str, graph: GraphSpec, manifest: Manifest) -> None:
    files = [graph.file] if isinstance(graph.file, str) else [*graph.file.values()]
    _known(f"{where}.file", files, manifest.files)
    if not isinstance(graph.file, str):
        _known(f"{where}.file", graph.file, SAMPLES)
    if not isinstance(graph.numeric_profile, str):
        _known(f"{where}.numeric_profile", graph.numeric_profile, SAMPLES)
        # What a driver looks up there is the type that it has looked up among the files.
        _known(f"{where}.file", SAMPLES if isinstance(graph.file, str) else graph.file, graph.numeric_profile)
    state = {spec.name for spec in manifest.state}
    _known(f"{where}.results", graph.results, graph.outputs)
    _known(f"{where}.updates", graph.updates, graph.outputs)
    # A graph that measures is given other tensors in place of the accumulators, which need not be there themselves.
    updated = state | {weight.accumulator for weight in manifest.weights}
    _known(f"{where}.updates", graph.updates.values(), updated)
    _known(f"{where}.in_place", graph.in_place, updated)


def _check_driver(manifest: Manifest) -> None:
    """Check what is there for the driver itself, apart from the program."""
    _known("the driver", DRIVER_STATE, [spec.name for spec in manifest.state])
    _known("the driver", DRIVER_GRAPHS, manifest.graphs)
    for name, result in DRIVER_GRAPHS.items():
        _known("the driver", [result], manifest.graphs[name].results)


def _check_weights(manifest: Manifest) -> None:
    state = {spec.name for spec in manifest.state}
    for weight in manifest.weights:
        names = [name for column in COLUMNS if (name := getattr(weight, column)) is not None]
        _known(f"weights {weight.weight}", [weight.weight, *names], state)
        if min(weight.shape, default=1) < 1 or not 0.0 < weight.rate < math.inf:
            raise ValueError(f"weights {weight.weight} has a length below 1 or a rate that is no number above 0")


def _check_program(manifest: Manifest) -> None:
    program = manifest.program
    _known("program.blocks", CALLED, program.blocks)
    if any(name in program.blocks for name in IN_APPS):
        _known("program.blocks", IN_APPS, program.blocks)
    state = {spec.name for spec in manifest.state}
    for name, block in program.blocks.items():
        for operation in operations(block):
            _check_operation(f"program.blocks.{name}", operation, manifest, state)
    for kind, event in ((kind, event) for kind, events in program.events.items() for event in events):
        named = [numbers for numbers in event.feeds.values() if isinstance(numbers, str)]
        _known(f"program.events.{kind}", named, program.vectors)
        if event.at[0] < 0 or event.at[1] < 1:
            raise ValueError(f"program.events.{kind} is due at {event.at[0]}/{event.at[1]}, which is no share")
    _check_no_circle(program)
    check_values(manifest)


def _check_operation(where: str, operation: Any, manifest: Manifest, state: set[str]) -> None:
    if isinstance(operation, ops.Run):
        _known(where, [operation.graph], manifest.graphs)
    if isinstance(operation, ops.Call):
        _known(where, [operation.block], manifest.program.blocks)
    if isinstance(operation, ops.Due):
        _known(where, [operation.events], manifest.program.events)
    if isinstance(operation, ops.Reset):
        _known(where, operation.state, state)
    if isinstance(operation, ops.Rows) and operation.at_most < 1:
        raise ValueError(f"{where} takes {operation.at_most} rows at a time")
    if isinstance(operation, ops.When) and any(one.every is not None and one.every < 1 for one in operation.any):
        raise ValueError(f"{where} has a condition on multiples of a number below 1")


def _check_no_circle(program: Program) -> None:
    calls = {
        name: {operation.block for operation in operations(block) if isinstance(operation, ops.Call)}
        for name, block in program.blocks.items()
    }
    while calls:
        leaves = {name for name, called in calls.items() if not called & calls.keys()}
        if not leaves:
            raise ValueError(f"program.blocks.{min(calls)} calls itself, by way of others")
        calls = {name: called for name, called in calls.items() if name not in leaves}


def first_values(manifest: Manifest) -> dict[str, StateSpec]:
    """The state whose first values lie in the file, by name."""
    return {spec.name: spec for spec in manifest.state if spec.init == "file"}
