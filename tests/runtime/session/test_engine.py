"""State in, state out: the engine feeds and updates state by the names of a graph's inputs and outputs."""

import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.numpy import save_file

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import ArtifactError, OptionError, RuntimeBuildError
from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.interface.specs import GraphSpec, InputSpec
from sparcl_compile.runtime.session import sessions
from sparcl_compile.runtime.session.engine import Engine, Sizes, device_copy
from sparcl_compile.runtime.session.sessions import _share_arena, open_session, session_options
from tests.support.cli import measured
from tests.support.described import manifest, state

GRAPH = """<ir_version: 10, opset_import: ["" : 18]>
g (float[2] w, float[2] x, float s) => (float[2] "w.next", float total) {
    moved = Mul (x, s)
    "w.next" = Add (w, moved)
    total = ReduceSum <keepdims = 0> ("w.next")
}"""


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    onnx.save(onnx.parser.parse_model(GRAPH), tmp_path / "g.onnx")
    save_file({"w": np.array([1, 2], np.float32)}, tmp_path / "state.safetensors")
    inputs = (InputSpec("w", "float32", (2,)), InputSpec("x", "float32", (2,)), InputSpec("s", "float32", ()))
    tensors = (
        state("w.copy", "gradient_mask", (2,), "copy:w"),
        state("w", "parameter", (2,), "file"),
        state("m", "mask", (3,), "ones"),
        state("seen", "sample", ("samples",), "zeros", "int64"),
    )
    graph = GraphSpec("g.onnx", inputs, ("w.next", "total"), ("total",), {"w.next": "w"}, (), False)
    look = dataclasses.replace(graph, updates={})
    seen = (InputSpec("seen", "int64", ("S",)),)
    count = GraphSpec("count.onnx", seen, ("seen.next",), (), {"seen.next": "seen"}, (), False)
    graphs = {"g": graph, "look": look, "count": count}
    made = Engine(Artifact(tmp_path, manifest(graphs=graphs, state=tensors)), threads=1)
    made.reset_all()
    return made


def begin_task(engine: Engine, samples: int) -> None:
    """Make the state of a task with a number of samples."""
    engine.sizes.dimensions["samples"] = samples
    engine.reset(engine.names("sample"))


FEEDS = {"x": np.array([1, 1], np.float32), "s": np.array(3, np.float32)}


def test_initial_state(engine: Engine) -> None:
    assert engine.array("w.copy").tolist() == [1, 2]
    assert engine.array("m").tolist() == [1, 1, 1]
    assert "seen" not in engine.state
    begin_task(engine, 4)
    assert (engine.array("seen").tolist(), engine.array("seen").dtype) == ([0] * 4, np.int64)
    assert engine.names("parameter") == ["w"]


def test_next_becomes_state_and_the_rest_is_a_result(engine: Engine) -> None:
    assert {name: a.numpy().tolist() for name, a in engine.run("g", FEEDS).items()} == {"total": 9.0}
    assert engine.array("w").tolist() == [4, 5]
    engine.reset_all()
    assert engine.array("w").tolist() == [1, 2]


def test_a_graph_that_updates_nothing_leaves_the_state_alone_and_may_read_another_tensor(engine: Engine) -> None:
    assert engine.run("look", FEEDS)["total"].numpy() == 9
    engine.set_array("w.copy", np.array([10, 20], np.float32))
    assert engine.run("look", FEEDS, instead={"w": "w.copy"})["total"].numpy() == 36
    assert engine.array("w").tolist() == [1, 2]
    assert engine.array("w.copy").tolist() == [10, 20]


@pytest.mark.parametrize("in_place", [(), ("w",)])
def test_a_state_tensor_keeps_its_memory(in_place: tuple[str, ...], engine: Engine) -> None:
    """Whether the graph may write over it while it runs, or the next value is copied to it afterwards."""
    engine._graphs["g"] = dataclasses.replace(engine._graphs["g"], in_place=in_place)
    kept = engine.array("w")
    assert engine.run("g", FEEDS)["total"].numpy() == 9
    assert kept is engine.array("w")
    assert kept.tolist() == [4, 5]
    assert engine.state["w"].numpy().tolist() == [4, 5]
    engine.run("look", FEEDS)
    assert kept.tolist() == [4, 5]


def test_a_tensor_of_samples_may_change_its_length(engine: Engine, tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 18]> g (int64[S] seen) => (int64[S] "seen.next") {
        one = Constant <value = int64[1] {1}> () "seen.next" = Add (seen, one) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "count.onnx")
    for samples in (3, 2, 4):
        begin_task(engine, samples)
        engine.run("count", {})
        engine.run("count", {})
        assert engine.array("seen").tolist() == [2] * samples


def test_what_reads_the_current_value_late_gets_it(engine: Engine) -> None:
    text = GRAPH.replace("total = ", 'late = Sub ("w.next", w) total = ').replace('> ("w.next")', "> (late)")
    onnx.save(onnx.parser.parse_model(text), engine._artifact.folder / "g.onnx")
    assert engine.run("g", FEEDS)["total"].numpy() == 6
    assert engine.array("w").tolist() == [4, 5]


def test_frozen_parameters_are_the_file_s(tmp_path: Path) -> None:
    save_file({"w": np.array([1, 2], np.float32)}, tmp_path / "state.safetensors")
    made = Engine(Artifact(tmp_path, manifest(state=(state("w", "frozen", (2,), "file"),))))
    made.reset_all()
    assert made.array("w").tolist() == [1, 2]
    assert not made.array("w").flags.writeable
    made.restore({"w": np.zeros(2, np.float32)})
    assert made.array("w").tolist() == [1, 2]


def test_an_array_outlives_its_place_in_the_state(engine: Engine) -> None:
    array = engine.array("w")
    engine.set_array("w", np.zeros(2, np.float32))
    assert array.tolist() == [1, 2]


def test_an_input_that_nobody_gives(engine: Engine) -> None:
    with pytest.raises(KeyError, match="graph input s is neither state nor fed"):
        engine.run("g", {"x": FEEDS["x"]})


def test_results_outlive_the_next_run(engine: Engine) -> None:
    first = engine.run("g", FEEDS)["total"]
    for _ in range(50):
        engine.run("g", FEEDS)
    assert first.numpy() == 9


def test_what_a_checkpoint_holds_comes_back(engine: Engine) -> None:
    begin_task(engine, 2)
    engine.run("g", FEEDS)
    held = {name: array.copy() for name, array in engine.saved().items()}
    assert list(held) == ["w.copy", "w", "m", "seen"]
    engine.run("g", FEEDS)
    engine.restore(held)
    assert engine.array("w").tolist() == [4, 5]
    engine.run("g", FEEDS)
    assert held["w"].tolist() == [4, 5]


def test_what_is_not_saved_is_in_no_checkpoint(engine: Engine) -> None:
    engine._specs["m"] = dataclasses.replace(engine._specs["m"], saved=False)
    assert list(engine.saved()) == ["w.copy", "w"]  # nor is seen, which is not there before a task


def loop_state(folder: Path, sizes: Sizes) -> Engine:
    save_file({"w": np.zeros(1, np.float32)}, folder / "state.safetensors")
    tensors = (
        state("w", "parameter", (1,), "file"),
        state("buffer.x", "buffer", ("buffer", "C", 2), "zeros", "sample"),
        state("data.sum", "data", ("C",), "zeros", "sum"),
        state("accuracy.class", "result", ("tasks", "tasks"), "nan", "float64"),
    )
    made = Engine(Artifact(folder, manifest(state=tensors)), 1, sizes)
    made.reset_all()
    return made


@pytest.mark.parametrize(("sample", "total"), [("uint8", np.int64), ("float32", np.float64)])
def test_the_run_decides_sizes_and_types(sample: str, total: type, tmp_path: Path) -> None:
    engine = loop_state(tmp_path, Sizes(sample, {"buffer": 3, "C": 4, "tasks": 2}))
    assert (engine.array("buffer.x").shape, engine.array("buffer.x").dtype) == ((3, 4, 2), sample)
    assert (engine.array("data.sum").shape, engine.array("data.sum").dtype) == ((4,), total)
    assert np.isnan(engine.array("accuracy.class")).all()
    assert not engine.array("buffer.x").any()


def test_state_of_an_unknown_size_is_not_made_and_named_when_asked_for(tmp_path: Path) -> None:
    engine = loop_state(tmp_path, Sizes("uint8", {"C": 4}))
    assert list(engine.state) == ["w", "data.sum"]
    with pytest.raises(KeyError, match="buffer"):
        engine.reset(["buffer.x"])


def test_a_buffer_that_does_not_fit_is_refused_with_the_option(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"^`buffer_size` 1000000000000000: does not fit into the memory; give fewer"):
        loop_state(tmp_path, Sizes("uint8", {"buffer": 10**15, "C": 4, "tasks": 1}))


def test_a_number_of_tasks_that_does_not_fit_is_no_matter_of_the_buffer(tmp_path: Path) -> None:
    with pytest.raises((MemoryError, ValueError, OSError, OverflowError)):
        loop_state(tmp_path, Sizes("uint8", {"buffer": 1, "C": 4, "tasks": 10**10}))


def test_a_graph_that_reads_samples_is_the_one_of_their_type(tmp_path: Path) -> None:
    files = {}
    for sample, dtype, factor in (("uint8", "uint8", 1), ("float32", "float", 2)):
        text = f"""<ir_version: 10, opset_import: ["" : 18]> g ({dtype}[N] x) => (float[N] y) {{
            z = Cast <to = 1> (x) c = Constant <value = float {{{factor}.0}}> () y = Mul (z, c) }}"""
        onnx.save(onnx.parser.parse_model(text), tmp_path / f"{sample}.onnx")
        files[sample] = f"{sample}.onnx"
    graph = GraphSpec(files, (InputSpec("x", "sample", ("N",)),), ("y",), ("y",), {}, (), False)
    for sample, wanted in (("uint8", [3.0]), ("float32", [6.0])):
        engine = Engine(Artifact(tmp_path, manifest(graphs={"g": graph})), 1, Sizes(sample))
        assert engine.run("g", {"x": np.array([3], sample)})["y"].numpy().tolist() == wanted


@pytest.mark.parametrize("array", [np.float32(3.5), np.zeros((0, 2)), np.arange(12).reshape(3, 4).T, np.array([True])])
def test_device_copy_keeps_shape_type_and_values(array: np.ndarray) -> None:
    array = np.asarray(array)
    copy = device_copy(array).numpy()
    assert (copy.shape, copy.dtype) == (array.shape, array.dtype)
    np.testing.assert_array_equal(copy, array)


def test_a_device_copy_is_a_copy() -> None:
    array = np.zeros(3, np.float32)
    copy = device_copy(array)
    array[:] = 1
    assert copy.numpy().tolist() == [0, 0, 0]


def test_the_stock_onnx_runtime_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime.training", None)
    with pytest.raises(RuntimeBuildError, match="target ort-training needs ONNX Runtime's training build"):
        Engine(Artifact(tmp_path, manifest(target="ort-training")))
    Engine(Artifact(tmp_path, manifest(target="ort")))


def test_sessions_share_one_pool_and_plan_nothing() -> None:
    options = session_options(3)
    assert options.intra_op_num_threads == 3
    assert not options.enable_mem_pattern
    assert not options.enable_mem_reuse
    assert options.enable_cpu_mem_arena
    assert options.get_session_config_entry("session.use_env_allocators") == "1"


def test_no_thread_goes_on_spinning_when_a_graph_is_done() -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 18]> g (float[N] x) => (float[N] y) { y = Exp (x) }"""
    )
    session = ort.InferenceSession(model.SerializeToString(), session_options(2))
    x = np.zeros(1 << 20, dtype=np.float32)
    rest, used = 0.02, []
    for _ in range(5):
        session.run(None, {"x": x})
        begin = time.process_time()
        time.sleep(rest)
        used.append(time.process_time() - begin)
    assert min(used) < rest / 4


@pytest.mark.parametrize(("threads", "spins"), [(1, True), (2, True), (3, False), (8, False)])
def test_threads_spin_only_where_each_has_a_core(threads: int, spins: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "usable_cores", lambda: 2)
    options, key = session_options(threads), "session.intra_op.allow_spinning"
    if not spins:
        assert options.get_session_config_entry(key) == "0"
        return
    with pytest.raises(RuntimeError, match="does not have"):
        options.get_session_config_entry(key)


def test_a_session_takes_the_cores_of_the_process_where_no_number_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx.save(onnx.parser.parse_model(GRAPH), tmp_path / "g.onnx")
    inputs = (InputSpec("w", "float32", (2,)), InputSpec("x", "float32", (2,)), InputSpec("s", "float32", ()))
    graph = GraphSpec("g.onnx", inputs, ("w.next", "total"), ("total",), {"w.next": "w"}, (), False)
    monkeypatch.setattr(sessions, "usable_cores", lambda: 3)
    opened = [open_session(tmp_path / "g.onnx", threads, graph) for threads in (None, 1)]
    assert [one.get_session_options().intra_op_num_threads for one in opened] == [3, 1]


def test_a_pool_that_is_there_already_is_shared() -> None:
    session_options(1)
    _share_arena.cache_clear()
    session_options(1)


POOL = """
import numpy as np
import onnx
from benchmarks.alone import status
from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.runtime.session.sessions import session_options

model = onnx.parser.parse_model('''<ir_version: 10, opset_import: ["" : 18]>
g (float[2097152] x, int64[1] many) => (float sum) {
    a = Abs (x)
    b = Exp (a)
    c = Mul (a, b)
    first = ReduceSum <keepdims = 0> (c)
    wide = Expand (first, many)
    sum = ReduceSum <keepdims = 0> (wide)
}''')
session = ort.InferenceSession(model.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"])
feeds = dict(x=np.ones(2097152, np.float32), many=np.array([2359296]))
before = status("VmRSS")
session.run(["sum"], feeds)
print(status("VmHWM") - before)
"""


def test_a_large_tensor_takes_the_place_of_smaller_ones(root: Path) -> None:
    # Three of 8 MiB, and when they are gone one of 9.
    assert 24 << 20 <= measured(POOL, root) < 30 << 20


def test_a_batch_without_samples_is_refused(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = engine.manifest.graphs
    rows = (InputSpec("x", "float32", ("N", 2)), *(one for one in graphs["g"].inputs if one.name != "x"))
    monkeypatch.setitem(graphs, "g", dataclasses.replace(graphs["g"], inputs=rows))
    with pytest.raises(ArtifactError, match=r"gives the graph g no samples \(input x\); compile the model again"):
        engine.run("g", {"x": np.zeros((0, 2), np.float32), "s": FEEDS["s"]})


def test_a_message_of_onnx_runtime_that_is_not_utf8(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        b"\xd7x".decode()

    monkeypatch.setattr(ort, "InferenceSession", fail)
    with pytest.raises(ArtifactError, match="ONNX Runtime cannot load it"):
        engine.run("g", FEEDS)
