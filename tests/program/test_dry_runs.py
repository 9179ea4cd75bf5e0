"""Programs of compiled artifacts, run with an engine that computes nothing: all that is named is there."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface import program as ops
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.interface.program import Block, Event, Operation
from sparcl_compile.interface.specs import GraphSpec
from sparcl_compile.interface.values import check_values
from sparcl_compile.runtime.data.tables import Table, Tables
from sparcl_compile.runtime.data.tasks import Task
from sparcl_compile.runtime.driver.interpreter import Interpreter
from sparcl_compile.runtime.session.engine import Sizes
from sparcl_compile.settings.methods import METHODS
from sparcl_compile.settings.options import CompileOptions
from tests.support.cli import write_model

FORMS: Mapping[str, dict[str, Any]] = {
    "fine-tuning": {"method": "finetune", "sparsity": 0.0, "gradient_sparsity": 0.0, "data_removal": 0.0},
    "er": {"method": "er", "sparsity": 0.0, "gradient_sparsity": 0.0, "data_removal": 0.0},
    "er-ace": {"method": "er-ace", "sparsity": 0.75},
    "er-ace merged": {"method": "er-ace", "replay_batches": "merged", "sparsity": 0.75},
    "lwf": {"method": "lwf", "sparsity": 0.75},
    "icarl": {"method": "icarl", "sparsity": 0.75},
    "icarl, channels": {"method": "icarl", "scheme": "channel", "sparsity": 0.5, "target": "ort"},
    "a-gem": {"method": "a-gem", "sparsity": 0.75},
    "ewc": {"method": "ewc", "sparsity": 0.75},
    "ewc, gradients": {"method": "ewc", "sparsity": 0.75, "gradient_sparsity": 0.9},
    "packnet": {"method": "packnet", "sparsity": 0.0, "gradient_sparsity": 0.0, "momentum": 0.9},
    "joint": {"method": "joint", "sparsity": 0.75},
    "fdr": {"method": "fdr", "sparsity": 0.75},
    "fdr merged": {"method": "fdr", "replay_batches": "merged", "sparsity": 0.75},
    "der": {"method": "der", "sparsity": 0.75},
    "er merged, masks, adamw": {"method": "er", "replay_batches": "merged", "sparsity": 0.75, "optimizer": "adamw"},
    "der++, masks": {"sparsity": 0.75},
    "der++ merged, reference code": {"replay_batches": "merged", "sparsity": 0.75, "recipe": "reference-code"},
    "reference code without replay": {"method": "finetune", "sparsity": 0.75, "recipe": "reference-code"},
    "gradients alone": {"sparsity": 0.0, "data_removal": 0.0},
    "weights alone, own classes": {"sparsity": 0.75, "gradient_sparsity": 0.0, "loss_classes": "task"},
    "channels": {"scheme": "channel", "sparsity": 0.5},
    "static": {"mask_policy": "static", "gradient_sparsity": 0.0, "sparsity": 0.75},
    "static, gradients": {"mask_policy": "static", "sparsity": 0.75},
    "set": {"mask_policy": "set", "gradient_sparsity": 0.0, "sparsity": 0.75},
    "rigl": {"mask_policy": "rigl", "replay_batches": "merged", "sparsity": 0.75},
    "snip": {"mask_policy": "snip", "gradient_sparsity": 0.0, "sparsity": 0.75},
    "snip, gradients": {"mask_policy": "snip", "sparsity": 0.75},
    "gradual": {"mask_policy": "gradual", "sparsity": 0.75},
    "granet": {"mask_policy": "granet", "sparsity": 0.75},
    "mest": {"mask_policy": "mest-em-s", "gradient_sparsity": 0.0, "sparsity": 0.75},
    "rows": {"gradient_scheme": "channel", "sparsity": 0.75},
}
GIVEN: Mapping[str, int | float] = {
    "seed": 0,
    "batch": 2,
    "epochs": 1,
    "learning_rate": 0.03,
    "augment": 0,
    "class_order_seed": 0,
    "classes_in_data": 2,
}
"""All values that a driver gives (docs/interfaces.md)."""
UNCALLED = {"eval"}
"""The graph of predictions and exports, which a program may have another one for."""
SAMPLES = 4
RESULTS: Mapping[str, Any] = {
    "finite": np.array(True),
    "broken": np.array(-1),
    "steps": np.array(2),
    "length": np.array(SAMPLES),
    "order": np.arange(SAMPLES),
    "new_order": np.arange(SAMPLES),
    "new_position": np.array(2),
    "removed_total": np.array(0),
    "removed_now": np.array(0),
    "last_member": np.array(0),
    "last_pick": np.array(1),
    "row": np.array([0]),
    "slots": np.arange(2),
    "filled": np.array(2),
    "last_chunk": np.array(0),
}
"""Results that the program reads itself; all others are 0."""


class DryEngine:
    """Checks that every input of a graph is fed or is state, and writes down which graphs were run."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest, self.sizes = manifest, Sizes("uint8")
        self.ran: list[str] = []
        self._state = {spec.name for spec in manifest.state}

    def spec(self, graph: str) -> GraphSpec:
        return self.manifest.graphs[graph]

    def run(
        self, graph: str, feeds: Mapping[str, Any], instead: Mapping[str, str] | None = None
    ) -> dict[str, ort.OrtValue]:
        spec, held = self.spec(graph), self._state | (instead or {}).keys()
        assert {one.name for one in spec.inputs} - feeds.keys() <= held, graph
        assert not self._state & feeds.keys(), graph
        assert set((instead or {}).values()) <= self._state
        for one in spec.inputs:
            if one.name in feeds and isinstance(array := feeds[one.name], np.ndarray):
                assert array.dtype == self.sizes.dtype(one.dtype), (graph, one)
                assert array.ndim == len(one.shape), (graph, one)
        self.ran.append(graph)
        return {name: ort.OrtValue.ortvalue_from_numpy(RESULTS.get(name, np.zeros(1))) for name in spec.results}

    def reset(self, names: Iterable[str]) -> None:
        assert set(names) <= self._state


@pytest.fixture(scope="module", params=FORMS)
def manifest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder: Path = tmp_path_factory.mktemp("made")
    options = CompileOptions(**FORMS[request.param])
    return compile_model(write_model(folder), folder / "a.sparcl", options).manifest


def operations(block: Block) -> Iterator[Operation]:
    """The operations of a block and of the blocks that it holds."""
    for operation in block:
        yield operation
        for name in ("then", "otherwise", "block"):
            inner = getattr(operation, name, ())
            yield from operations(inner) if isinstance(inner, tuple) else ()


def every(manifest: Manifest) -> list[Operation]:
    return [op for block in manifest.program.blocks.values() for op in operations(block)]


def test_blocks_and_graphs_that_are_named_are_there(manifest: Manifest) -> None:
    found = every(manifest)
    called = {op.block for op in found if isinstance(op, ops.Call)}
    assert called <= manifest.program.blocks.keys()
    run = {op.graph for op in found if isinstance(op, ops.Run)}
    assert run | UNCALLED == manifest.graphs.keys() | UNCALLED
    assert {op.events for op in found if isinstance(op, ops.Due)} == manifest.program.events.keys()


def in_apps(manifest: Manifest) -> bool:
    """Whether a learner can have the method: neither PackNet nor joint training."""
    return METHODS[manifest.options.method].in_apps


def test_no_block_waits_in_vain_for_a_call(manifest: Manifest) -> None:
    """Every block is called by a driver or by another block."""
    by_drivers = {"class_order", "statistics", "begin_task", "begin_epoch", "step", "end_epoch", "end_task", "end_run"}
    by_drivers |= {"predict", "begin_score", "score", "report", "close_task"} if in_apps(manifest) else set()
    by_drivers |= {"resize"} & manifest.program.blocks.keys()
    called = {op.block for op in every(manifest) if isinstance(op, ops.Call)}
    assert manifest.program.blocks.keys() == by_drivers | called


def test_renamed_results_are_results_and_columns_belong_to_measuring(manifest: Manifest) -> None:
    for op in every(manifest):
        if isinstance(op, ops.Run):
            assert op.results.keys() <= set(manifest.graphs[op.graph].results)
            assert bool(op.into) == (op.graph == "measure")


def test_inputs_of_state_s_names_are_never_fed(manifest: Manifest) -> None:
    state = {spec.name for spec in manifest.state}
    for op in every(manifest):
        if isinstance(op, ops.Run):
            assert not op.feeds.keys() & state


def test_events_name_vectors_and_stand_in_the_order_of_their_times(manifest: Manifest) -> None:
    for events in manifest.program.events.values():
        for kind in ("first", "later"):
            times = [event.at[0] / event.at[1] for event in events if event.tasks in (kind, "all")]
            assert times == sorted(times)
        vectors = [source for event in events for source in event.feeds.values() if isinstance(source, str)]
        assert set(vectors) <= manifest.program.vectors.keys()


def lengths(manifest: Manifest) -> set[int]:
    """The length of the vectors: one number a masked weight, or a channel space."""
    spaces = [len(manifest.channels.spaces)] if manifest.channels else []
    return {len(manifest.weights), *spaces}


def test_vectors_have_a_number_for_every_weight_or_space(manifest: Manifest) -> None:
    assert {len(vector) for vector in manifest.program.vectors.values()} <= lengths(manifest)


def tables() -> Tables:
    x, y = np.zeros((SAMPLES, 3, 8, 8), np.uint8), np.zeros(SAMPLES, np.int64)
    task = Task((0,), x, y, x, y)
    return Tables(Table(x, y, (0,)), [task, task, task])


def dry_run(manifest: Manifest, augment: int) -> DryEngine:
    """Three tasks of one epoch with two steps."""
    engine = DryEngine(manifest)
    made = Interpreter(engine, manifest.program, tables(), {**GIVEN, "augment": augment})  # type: ignore[arg-type]
    for block in ("class_order", "statistics"):
        made.call(block)
    for number in range(3):
        assert made.integer("task") == number
        made.fired = dict.fromkeys(made.fired, 0)
        for block in ("begin_task", "begin_epoch"):
            made.call(block)
        while made.integer("done") < made.integer("total"):
            made.call("step")
        assert (made.integer("done"), made.integer("task_step")) == (2, 2)
        made.call("end_epoch")
        assert made.integer("epoch") == 1
        made.call("end_task")
        assert all(made.fired[kind] == len(of_task(events, number)) for kind, events in manifest.program.events.items())
    made.call("end_run")
    raw, labels = np.zeros((SAMPLES, 3, 8, 8), np.uint8), np.zeros(SAMPLES, np.int64)
    made.values |= {"asked.raw": raw, "asked.labels": labels, "asked.classes": labels[:1], "given.x": raw}
    for block in ("begin_score", "score", "report", "predict", "resize"):
        if block in manifest.program.blocks:
            made.call(block)
    # PackNet's optimizer begins anew with each task, of which the last one has two steps.
    count = 3 if manifest.options.method == "packnet" else 7
    assert (made.integer("step"), made.integer("count"), made.integer("samples_seen")) == (6, count, 12)
    return engine


def of_task(events: tuple[Event, ...], number: int) -> list[Event]:
    return [event for event in events if event.tasks in ("all", "first" if number == 0 else "later")]


def test_every_value_that_is_read_was_given_before(manifest: Manifest) -> None:
    ran = {graph for augment in (0, 1) for graph in dry_run(manifest, augment).ran}
    assert ran | UNCALLED == manifest.graphs.keys()
    check_values(manifest)


@pytest.mark.parametrize("missing", GIVEN)
def test_a_value_that_a_driver_must_give_is_missed(missing: str, tmp_path: Path) -> None:
    made = compile_model(write_model(tmp_path), tmp_path / "a.sparcl", CompileOptions(sparsity=0.75)).manifest
    values = {name: number for name, number in GIVEN.items() if name != missing}
    interpreter = Interpreter(DryEngine(made), made.program, tables(), values)  # type: ignore[arg-type]
    with pytest.raises(KeyError, match=f"'{missing}'"):  # noqa: PT012 - one of these blocks reads it
        for block in ("class_order", "begin_task", "begin_epoch", "step", "step"):
            interpreter.call(block)
