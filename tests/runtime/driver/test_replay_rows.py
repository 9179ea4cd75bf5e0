"""A replay buffer of thousands of photographs costs a step no more than a small one: rows move, nothing else does."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from models.export import export
from models.small import cnn
from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.reporting.progress import Reporter
from sparcl_compile.runtime.reporting.report import console
from sparcl_compile.runtime.runs.run import Run
from sparcl_compile.runtime.session.engine import Engine
from sparcl_compile.settings.options import CompileOptions
from tests.support.cli import measured, write_data, write_model

ROWS = ("buffer.x", "buffer.labels", "buffer.logits")
SAMPLE = (3, 128, 128)
BYTES = 3 * 128 * 128


@pytest.fixture(scope="module", params=["separate", "merged"])
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp(request.param)
    options = CompileOptions(sparsity=0.75, replay_batches=request.param)
    return compile_model(write_model(folder), folder / "a.sparcl", options)


def test_the_buffer_may_be_written_over(artifact: Artifact) -> None:
    assert set(ROWS) <= set(artifact.manifest.graphs["write_buffer"].in_place)


@pytest.mark.parametrize("samples", ["uint8", "float32"])
def test_graphs_take_rows_of_the_buffer_and_write_rows_of_it(samples: str, artifact: Artifact) -> None:
    allowed = {"replay_batch": {("Gather", 0), ("Shape", 0)}, "write_buffer": {("ScatterND", 0), ("Shape", 0)}}
    # The shares of the classes count the labels, eight bytes a sample.
    labels_alone = {name: {("Slice", 0), ("Shape", 0)} for name in ("batch", "replay_batch")}
    for name, graph in artifact.manifest.graphs.items():
        proto = onnx.load(artifact.path(name, samples)).graph
        readers = {
            (value, node.op_type, place)
            for node in proto.node
            for place, value in enumerate(node.input)
            if value in ROWS and value in {one.name for one in proto.input}
        }
        labels = {(op, place) for value, op, place in readers if value == "buffer.labels"}
        rows = {(op, place) for value, op, place in readers if value != "buffer.labels"}
        assert rows <= allowed.get(name, set()), name
        assert labels <= allowed.get(name, set()) | labels_alone.get(name, set()), name
        assert bool(rows) == (name in allowed)
        gathers = [node for node in proto.node if node.op_type == "Gather" and node.input[0] in ROWS]
        assert all(attribute.i == 0 for node in gathers for attribute in node.attribute if attribute.name == "axis")
        assert bool(graph.in_place) or name != "write_buffer"


def test_the_buffer_keeps_its_memory_through_a_run(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RunConfig(
        data=write_data(tmp_path), learning_rate=0.03, tasks=2, epochs=1, batch_size=8, buffer_size=9, threads=1
    )
    run, original, places = Run(artifact, config, tmp_path / "run"), Engine.run, []

    def watched(engine: Engine, graph: str, feeds: Any, instead: Any = None) -> Any:
        before = [engine.array(name) for name in ROWS]
        found = original(engine, graph, feeds, instead)
        assert all(array is engine.array(name) for array, name in zip(before, ROWS, strict=True))
        places.append([(a.ctypes.data, engine.state[n].data_ptr()) for a, n in zip(before, ROWS, strict=True)])
        return found

    monkeypatch.setattr(Engine, "run", watched)
    with Reporter(console(), 2, 1, quiet=True) as reporter:
        run.train(reporter)
    assert len(places) > 100
    assert all(place == places[0] for place in places)
    assert all(array == held for array, held in places[0])
    assert int(run.engine.array("buffer.seen")) == run.trainer["samples_seen"]
    assert np.unique(run.engine.array("buffer.labels")).size > 2


MEASURE = """
import sys
sys.modules["torch"] = None
from pathlib import Path
import numpy as np
from benchmarks.alone import status
from sparcl_compile.interface.artifact import load
from sparcl_compile.runtime.data.tables import Table, Tables
from sparcl_compile.runtime.data.tasks import Task
from sparcl_compile.runtime.driver.trainer import Trainer
from sparcl_compile.runtime.session.engine import Engine, Sizes

artifact = load(Path("{folder}"))
dimensions = dict(C=3, H=128, W=128, tasks=2, buffer={buffer}, samples=16)
engine = Engine(artifact, 1, Sizes("uint8", dimensions))
engine.reset_all()
engine.set_array("data.std", np.ones(3, np.float32))
# As if it were full: a presentation more takes the place of another, and a draw takes rows of all of them.
engine.set_array("buffer.seen", np.array({buffer}))
x, y = np.arange(16 * 3 * 128 * 128, dtype=np.uint8).reshape(16, 3, 128, 128), np.arange(16) % 4
task = Task((0, 1, 2, 3), x, y, x, y)
options = dict(seed=0, batch=4, epochs=1, learning_rate=0.001, augment=0)
trainer = Trainer(engine, artifact.manifest.program, Tables(Table(x, y, range(4)), [task, task]), options)
trainer.set(dict(task=1))
trainer.begin_task()
trainer.call("begin_epoch")
before = status("VmRSS")
written = 0
while trainer.more:
    trainer.step()
    written += sum(slot >= 0 for slot in trainer.integers("stored.slot"))
assert written >= 8, written
print(status("VmHWM") - before)
"""


def test_a_large_buffer_takes_no_more_memory_in_a_step_than_a_small_one(root: Path, tmp_path: Path) -> None:
    """The system allocates a page when it is first written to: a copy of the buffer would take all of them."""
    torch.manual_seed(0)
    export(cnn(width=4, classes=4), SAMPLE, tmp_path / "cnn.onnx")
    compile_model(tmp_path / "cnn.onnx", tmp_path / "a.sparcl", CompileOptions(sparsity=0.5, data_removal=0.0))
    peaks = {size: measured(MEASURE.format(folder=tmp_path / "a.sparcl", buffer=size), root) for size in (50, 5000)}
    assert peaks[5000] - peaks[50] < 0.05 * 5000 * BYTES
