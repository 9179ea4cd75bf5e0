"""Live ranges on graphs small enough to count by hand, and against what ONNX Runtime does."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.export import export
from models.resnet import resnet18
from sparcl_compile.compiling import pipeline
from sparcl_compile.compiling.load import load_model
from sparcl_compile.passes.analysis.liveness.buffers import Plan, plan
from sparcl_compile.passes.analysis.liveness.executor import EXECUTORS, IN_PLACE, STOCK, TRAINING_BUILD, Executor
from sparcl_compile.passes.analysis.liveness.order import execution_order
from sparcl_compile.passes.analysis.liveness.sizes import at_batch, bytes_of
from sparcl_compile.runtime.session.sessions import session_options
from sparcl_compile.settings.options import CompileOptions
from tests.support.cli import measured
from tests.support.training_form import TARGETS
from tests.support.zoo import ZOO

HEADER = '<ir_version: 10, opset_import: ["" : 18, "com.microsoft" : 1]>\n'
KILO = 4 * 256
"""The bytes of one value float[N, 256] at batch 1."""


def parse(body: str, out: str = "y", values: str = "") -> ir.Model:
    """A graph from x and z, float[N, 256], to one output; ``values`` declares shapes in between."""
    text = f"g (float[N, 256] x, float[N, 256] z) => (float[N, 256] {out}) {values} {{ {body} }}"
    return ir.from_proto(onnx.parser.parse_model(HEADER + text))


def live(found: Plan) -> list[str]:
    return sorted(str(one.value.name) for one in found.live)


@pytest.mark.parametrize(
    ("body", "peak", "alive"),
    [
        # Not in the in-place table: input and output are alive together.
        ("a = Transpose<perm=[0,1]>(x) b = Transpose<perm=[0,1]>(a) y = Add(b, z)", 2, ["a", "b"]),
        # In place: one buffer all the way.
        ("a = Transpose<perm=[0,1]>(x) b = Relu(a) c = Tanh(b) y = Add(c, z)", 1, ["a"]),
        # Not in place while another reader waits.
        ("a = Transpose<perm=[0,1]>(x) b = Relu(a) c = Transpose<perm=[0,1]>(a) d = Add(b, c) y = Add(d, z)", 3,
         ["b", "c", "d"]),
        # Arithmetic is not in place.
        ("a = Transpose<perm=[0,1]>(x) c = Sub(z, a) y = Add(c, z)", 2, ["a", "c"]),
        # A graph's inputs belong to the caller: never in place.
        ("a = Relu(x) y = Add(a, z)", 1, ["a"]),
        # A view has no buffer, and its owner lives as long as the view.
        ("a = Transpose<perm=[0,1]>(x) b = Unsqueeze(a, one) c = Squeeze(b, one) d = Relu(a) e = Add(c, d) "
         "y = Add(e, z)", 3, ["c", "d", "e"]),
        # A view of an input costs nothing.
        ("a = Unsqueeze(x, one) b = Squeeze(a, one) y = Add(b, z)", 0, []),
        # A value without a reader is freed after its node.
        ("a, unread = Split<axis=0, num_outputs=2>(wide) b = Transpose<perm=[0,1]>(a) c = Transpose<perm=[0,1]>(b) "
         "y = Add(c, z)", 2, ["a", "unread"]),
    ],
)  # fmt: skip
def test_peaks_by_hand(body: str, peak: int, alive: list[str]) -> None:
    model = parse(body)
    for name, data in (("one", np.array([1])), ("wide", np.zeros((2, 256), np.float32))):
        model.graph.register_initializer(ir.Value(name=name, const_value=ir.tensor(data)))
        value = model.graph.initializers[name]
        value.shape, value.type = ir.Shape(data.shape), ir.TensorType(value.const_value.dtype)  # type: ignore[union-attr]
        reads = [(node, slot, read) for node in model.graph for slot, read in enumerate(node.inputs)]
        for node, slot, read in reads:
            if read is not None and read.name == name:
                node.replace_input_with(slot, value)
    found = plan(model, 1)
    assert found.peak_bytes == peak * KILO
    assert not found.unknown
    if peak:
        assert live(found) == alive


ARITHMETIC = {"Abs": 1, "Neg": 1, "Sqrt": 1, "Add": 2, "Sub": 2, "Mul": 2, "Div": 2, "Sum": 2}
"""Operators that are not in ``IN_PLACE``, and how many operands they have."""


@pytest.mark.parametrize(
    ("body", "peak", "alive"),
    [
        # The norm goes into the weights; the convolution is computed into r, which its sum alone still reads.
        ("r = Relu(x0) h = Conv(r, w) c = Conv(h, w) m = Mul(c, k) n = Add(m, k) s = Add(n, r)", 2, ["h", "r"]),
        ("r = Relu(x0) h = Conv(r, w) c = Conv(h, w) s = Add(r, c)", 2, ["h", "r"]),
        # r is read again: the convolution has a buffer of its own, which the sum takes over.
        ("r = Relu(x0) h = Conv(r, w) c = Conv(h, w) t = Add(c, r) s = Add(t, r)", 3, ["c", "h", "r"]),
        # Two convolutions: the second one is computed into the first one.
        ("r = Relu(x0) c = Conv(r, w) d = Conv(r, w) s = Add(c, d)", 2, ["d", "r"]),
        # A fed weight, a convolution that is read twice, a product of two activations.
        ("r = Relu(x0) h = Conv(r, w) c = Conv(h, fed) s = Add(c, r)", 3, ["c", "h", "r"]),
        ("r = Relu(x0) c = Conv(r, w) q = Tanh(c) t = Add(c, r) s = Add(t, q)", 3, ["c", "r", "t"]),
        ("r = Relu(x0) h = Conv(r, w) c = Conv(h, w) s = Mul(c, r)", 3, ["c", "h", "r"]),
    ],
)  # fmt: skip
def test_what_is_computed_with_a_convolution(body: str, peak: int, alive: list[str]) -> None:
    text = f"""{HEADER} g (float[N,4,4,16] x, float[4,4,1,1] fed) => (float[N,4,4,16] y)
    <float[4,4,1,1] w = {{{", ".join(["0.5"] * 16)}}}, float[4,1,1] k = {{1.0, 1.0, 1.0, 1.0}}> {{
        x0 = Transpose<perm=[0,1,2,3]>(x) {body} y = Transpose<perm=[0,1,2,3]>(s) }}"""
    found = plan(ir.from_proto(onnx.parser.parse_model(text)), 1)
    assert found.peak_bytes == peak * KILO
    assert live(found) == alive


BUFFERS = """
import numpy as np, onnx, onnxruntime as ort
from pathlib import Path
from benchmarks.alone import status
from sparcl_compile.runtime.session.tensors import give_back_freed
SIDE = 2048
HEADER = '<ir_version: 10, opset_import: ["" : 18]>'
def buffers(op, operands):
    given = "g, " + "w, " * (operands - 1) if op != "Not" else "mask, "
    made = "mask = Greater (g, g)" if op == "Not" else ""
    attribute = "<to = 1>" if op == "Cast" else ""
    body = f"g = MatMul (a, b) {{made}} y = {{op}} {{attribute}} ({{given[:-2]}}) s = Shape (y)"
    inputs = f"float[{{SIDE}},1] a, float[1,{{SIDE}}] b, float[{{SIDE}},{{SIDE}}] w"
    text = f"{{HEADER}} m ({{inputs}}) => (int64[2] s) {{{{ {{body}} }}}}"
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_mem_pattern = options.enable_mem_reuse = False
    model = onnx.parser.parse_model(text).SerializeToString()
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    vector, zeros = np.ones((SIDE, 1), np.float32), np.zeros((SIDE, SIDE), np.float32)
    give_back_freed()
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    session.run(None, {{"a": vector, "b": vector.T, "w": zeros}})
    return (status("VmHWM") - before) / zeros.nbytes
print(sum(2 ** i * (buffers(op, n) > 1.8) for i, (op, n) in enumerate({operators})))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_which_operators_work_in_place_in_onnx_runtime() -> None:
    """Each is run on a large tensor that dies there; a bit of the answer says whether there were two of its size."""
    operators = [*((op, 1) for op in sorted(IN_PLACE)), *ARITHMETIC.items()]
    found = measured(BUFFERS.format(operators=operators), Path(__file__).parents[4])
    two = [op for place, (op, _) in enumerate(operators) if found >> place & 1]
    # Not reads bytes, made from a tensor of floats that is gone by then.
    assert two == list(ARITHMETIC)


CONVOLUTIONS = """
import numpy as np, onnx, onnxruntime as ort
from pathlib import Path
from benchmarks.alone import status
from sparcl_compile.runtime.session.sessions import session_options
from sparcl_compile.runtime.session.tensors import give_back_freed
SIDE, CHANNELS = 512, 16
text = '''<ir_version: 10, opset_import: ["" : 18]> g (float[N,3,512,512] x, float[16,16,3,3] fed) => (float s) {{
    r0 = Conv <pads = [1,1,1,1]> (x, first) r = Relu (r0)
    h0 = Conv <pads = [1,1,1,1]> (r, w) h = Relu (h0)
    c = Conv <pads = [1,1,1,1]> (h, {weight}) z = Add (c, r) y = Relu (z)
    s = ReduceMean <keepdims = 0> (y) }}'''
model = onnx.parser.parse_model(text)
for name, channels in (("first", 3), ("w", 16)):
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.full((16, channels, 3, 3), 0.1, np.float32), name))
session = ort.InferenceSession(model.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"])
feeds = {{"x": np.ones((1, 3, 512, 512), np.float32), "fed": np.ones((16, 16, 3, 3), np.float32)}}
give_back_freed()
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
session.run(None, {{i.name: feeds[i.name] for i in session.get_inputs()}})
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_onnx_runtime_computes_a_convolution_into_what_it_is_added_to() -> None:
    """Its input and the other operand are two buffers; were the sum apart, there would be three."""
    root, buffer = Path(__file__).parents[4], 4 * 16 * 512 * 512
    assert 1.9 * buffer < measured(CONVOLUTIONS.format(weight="w"), root) < 2.6 * buffer
    assert measured(CONVOLUTIONS.format(weight="fed"), root) > 2.9 * buffer


def test_the_peak_grows_with_the_batch() -> None:
    model = parse("a = Transpose<perm=[0,1]>(x) b = Transpose<perm=[0,1]>(a) y = Add(b, z)")
    assert [plan(model, batch).peak_bytes for batch in (1, 7, 32)] == [2 * KILO, 14 * KILO, 64 * KILO]


def test_the_model_is_not_changed() -> None:
    model = parse("a = Relu(x) y = Add(a, z)")
    before = ir.to_onnx_text(model)
    plan(model, 4)
    assert ir.to_onnx_text(model) == before


def test_an_unknown_size_is_named_and_not_taken_for_nothing() -> None:
    model = parse("n = NonZero(x) f = Cast<to=1>(n) s = ReduceSum<keepdims=0>(f) y = Add(z, s)")
    assert plan(model, 2).unknown == ("n", "f")


def test_bytes_follow_the_type() -> None:
    model = at_batch(parse("b = Greater(x, z) h = Cast<to=10>(b) d = Cast<to=11>(b) y = Cast<to=1>(d)"), 2)
    sizes = {out.name: bytes_of(out) for node in model.graph for out in node.outputs}
    assert sizes == {"b": 512, "h": 1024, "d": 4096, "y": 2048}


GRADIENTS = """g (float[N,3,8,8] x, float[4,3,3,3] w, float[4] scale, float[4] shift, float[4] mean, float[4] var,
    float[N,4,6,6] dy, float[4,3,3,3] buffer, bool[1] reset) => (float[N,4,6,6] y, bool[1] updated)
    <float[N,4,6,6] c> {
    c = Conv(x, w)
    y, mean_next, var_next, saved_mean, saved_deviation =
        com.microsoft.BatchNormInternal<epsilon=0.00001>(c, scale, shift, mean, var)
    db, scale_grad, shift_grad = com.microsoft.BatchNormalizationGrad(dy, c, scale, saved_mean, saved_deviation)
    x_gradient, w_grad, bias_grad = com.microsoft.ConvGrad(db, x, w)
    r = com.microsoft.ReluGrad(x_gradient, x)
    updated = com.microsoft.InPlaceAccumulatorV2(buffer, w_grad, reset)
}"""


def test_shapes_of_gradient_operators() -> None:
    model = at_batch(ir.from_proto(onnx.parser.parse_model(HEADER + GRADIENTS)), 5)
    shapes = {out.name: None if out.shape is None else list(out.shape) for node in model.graph for out in node.outputs}
    assert shapes["db"] == [5, 4, 6, 6]
    assert shapes["x_gradient"] == shapes["r"] == [5, 3, 8, 8]
    assert shapes["w_grad"] == [4, 3, 3, 3]
    assert shapes["saved_mean"] == shapes["saved_deviation"] == shapes["scale_grad"] == shapes["mean_next"] == [4]
    assert shapes["updated"] == [1]
    assert shapes["bias_grad"] is None


def test_the_youngest_reader_and_the_youngest_input_come_first() -> None:
    model = parse("a = Relu(x) b = Neg(x) c = Abs(x) d = Add(b, a) e = Add(c, b) y = Add(e, d)")
    assert [node.outputs[0].name for node in execution_order(model.graph)] == ["c", "b", "e", "a", "d", "y"]


@pytest.mark.parametrize(
    ("build", "order"), [(TRAINING_BUILD, ["a", "s", "b", "c", "y"]), (STOCK, ["a", "b", "c", "s", "y"])]
)
def test_the_training_build_alone_takes_shapes_at_once(build: str, order: list[str]) -> None:
    model = parse("a = Relu(x) s = Shape(a) b = Neg(a) c = Abs(b) y = Expand(c, s)")
    assert [node.outputs[0].name for node in execution_order(model.graph, EXECUTORS[build])] == order


def test_what_a_late_shape_is_read_off_is_kept_for_it() -> None:
    model = parse("a = Neg(x) s = Shape(a) b = Neg(a) c = Abs(b) y = Expand(c, s)")
    peaks = [plan(model, 1, EXECUTORS[build]).peak_bytes for build in (TRAINING_BUILD, STOCK)]
    assert peaks[0] < peaks[1]


def training_model(name: str, folder: Path, **options: Any) -> ir.Model:
    """The training graph of a model of the zoo, or of ResNet-18: one block has nothing that is worth recomputing."""
    if name == "resnet18":
        return resnet18_training_model(folder, **options)
    onnx.save(ZOO[name](), folder / f"{name}.onnx")
    return compiled(folder / f"{name}.onnx", folder, **options)


def resnet18_training_model(folder: Path, **options: Any) -> ir.Model:
    """The training graph of ResNet-18 with 8 channels in its first stage."""
    torch.manual_seed(0)
    export(resnet18(width=8), (3, 32, 32), folder / "resnet18.onnx")
    return compiled(folder / "resnet18.onnx", folder, **options)


def compiled(path: Path, folder: Path, **options: Any) -> ir.Model:
    """The training graph of a file, without the optimizer; with gradient masks and gradients stored by default."""
    model, chosen = (
        load_model(path),
        CompileOptions(**{"gradient_sparsity": 0.9, "replay_batches": "separate", **options}),
    )
    return pipeline.run(model, chosen, folder, lambda *_: None).training


def random_feeds(model: ir.Model, batch: int = 2, samples: int = 8) -> dict[str, np.ndarray]:
    """Every input of a training graph: small random numbers, 0 for integers, 1 for flags and statistics."""
    rng = np.random.default_rng(0)
    feeds = {}
    for value in model.graph.inputs:
        name = str(value.name)
        shape = [{"N": batch, "S": samples}.get(str(d), d) for d in value.shape or ()]
        dtype = value.dtype.numpy() if value.dtype else np.float32
        data = rng.normal(size=shape) * 0.3 if dtype == np.float32 else np.zeros(shape)
        feeds[name] = (np.abs(data) + 0.5 if "var" in name else data).astype(dtype)
    feeds["lazy_reset_grad"] = np.array([True])
    feeds["ce_weight"] = np.full(batch, 1 / batch, np.float32)
    return feeds


def executed(model: ir.Model, folder: Path, level: Any) -> list[str]:
    """The names of the nodes in the order in which a session ran them, from its profile."""
    options = session_options(1)
    options.enable_profiling, options.profile_file_prefix = True, str(folder / "profile")
    options.graph_optimization_level = level
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"])
    session.run(None, random_feeds(model))
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    names = [event["name"] for event in events if event.get("cat") == "Node"]
    return [name.removesuffix("_kernel_time") for name in names if name.endswith("_kernel_time")]


def executor() -> Executor:
    """The model of the build that is installed."""
    return EXECUTORS[TRAINING_BUILD if importlib.util.find_spec("onnxruntime.training") else STOCK]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", ["resnet", "mobilenet", "densenet_symbolic", "token_transformer_symbolic"])
def test_the_order_is_that_of_a_session(name: str, recompute: bool, target: str, tmp_path: Path) -> None:
    model = training_model(name, tmp_path, recompute=recompute, target=target)
    model.functions.clear()
    order = [str(node.name) for node in execution_order(model.graph, executor())]
    assert executed(model, tmp_path, ort.GraphOptimizationLevel.ORT_DISABLE_ALL) == order


@pytest.mark.training_build
@pytest.mark.parametrize("name", ["resnet18", "mobilenet"])
def test_the_session_s_optimizers_leave_the_order(name: str, tmp_path: Path) -> None:
    model = training_model(name, tmp_path, recompute=True, target="ort-training")
    model.functions.clear()
    order = [str(node.name) for node in execution_order(model.graph, executor())]
    found = executed(model, tmp_path, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    assert [name for name in order if name in set(found)] == [name for name in found if name in set(order)]


@pytest.mark.parametrize("target", TARGETS)
def test_the_session_s_optimizers_leave_the_recomputed_nodes(target: str, tmp_path: Path) -> None:
    model = training_model("resnet18", tmp_path, recompute=True, target=target)
    model.functions.clear()
    found = executed(model, tmp_path, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    # Two chains may share their gain, a number a channel.
    names = [str(node.name) for node in model.graph]
    again = [name for name in names if ".again" in name and not name.endswith(".gain")]
    assert again
    assert set(again) <= set(found)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["Relu", "Add", "Transpose", "Mul", "Unsqueeze"]), st.integers(0, 9),
                          st.integers(0, 9)), min_size=1, max_size=12))  # fmt: skip
def test_random_graphs_lie_between_the_largest_node_and_all_values(steps: list[tuple[str, int, int]]) -> None:
    names, body = ["x", "z"], []
    for index, (op, first, second) in enumerate(steps):
        one, other = names[first % len(names)], names[second % len(names)]
        lines = {
            "Add": f"v{index} = Add({one}, {other})",
            "Mul": f"v{index} = Mul({one}, {other})",
            "Relu": f"v{index} = Relu({one})",
            "Transpose": f"v{index} = Transpose<perm=[0,1]>({one})",
            "Unsqueeze": f"v{index} = Identity({one})",
        }
        body.append(lines[op])
        names.append(f"v{index}")
    model = parse(" ".join([*body, f"y = Add({names[-1]}, {names[-1]})"]))
    found = plan(model, 1)
    order = execution_order(model.graph)
    assert len(order) == len(steps) + 1
    assert len(found.live) * KILO == found.peak_bytes <= len(steps) * KILO
    done: set[str] = {"x", "z"}
    for node in order:
        assert {str(v.name) for v in node.inputs if v is not None} <= done
        done |= {str(v.name) for v in node.outputs}
