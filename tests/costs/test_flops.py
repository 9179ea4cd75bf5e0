"""The cost table against numbers worked out by hand, against onnx-tool, and against the paper's totals."""

import collections
import pathlib

import numpy as np
import onnx
import onnx_ir as ir
import onnx_tool
import pytest

from sparcl_compile.costs import flops as cost
from sparcl_compile.graphs import flops as run_graph
from sparcl_compile.interface.errors import ModelError
from sparcl_compile.interface.manifest import Flops
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.roles import set_role
from tests.support import harness

HEADER = '<ir_version: 10, opset_import: ["" : 18, "com.microsoft" : 1]>\n'


def parse(text: str, **weights: tuple[int, ...]) -> ir.Model:
    proto = onnx.parser.parse_model(HEADER + text)
    for name, shape in weights.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(shape, np.float32), name))
    return ir.from_proto(proto)


def macs(model: ir.Model) -> list[int]:
    return [layer.macs for layer in cost.layer_costs(model)]


NETWORK = """g (float[N, 4, 9, 9] x) => (float[N, 5] y) {
    a = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(x, w1)
    b = Relu(a)
    c = Conv<pads = [1, 1, 1, 1], group = 6>(b, w2)
    d = ConvTranspose<strides = [2, 2], group = 2>(c, w3)
    e = GlobalAveragePool(d)
    f = Flatten(e)
    h = Gemm<transB = 1>(f, w4)
    y = MatMul(h, w5)
}"""
SHAPES = {"w1": (6, 4, 3, 3), "w2": (6, 1, 3, 3), "w3": (6, 4, 2, 2), "w4": (7, 8), "w5": (7, 5)}


def test_macs_by_hand() -> None:
    layers = cost.layer_costs(parse(NETWORK, **SHAPES))
    assert [layer.macs for layer in layers] == [
        6 * 5 * 5 * 4 * 9,  # dense convolution: outputs times one output's window
        6 * 5 * 5 * 1 * 9,  # depthwise
        6 * 5 * 5 * 4 * 4,  # transposed: inputs times what each is spread over
        8 * 7,
        7 * 5,
    ]
    assert [layer.weight for layer in layers] == ["w1", "w2", "w3", "w4", "w5"]
    assert [layer.op_type for layer in layers] == ["Conv", "Conv", "ConvTranspose", "Gemm", "MatMul"]


def test_batched_matmul_of_two_activations_has_no_weight() -> None:
    text = """g (float[N, 6, 8] x) => (float[N, 6, 8] y) {
        k = Transpose<perm = [0, 2, 1]>(x)
        s = MatMul(x, k)
        p = Softmax(s)
        y = MatMul(p, x)
    }"""
    layers = cost.layer_costs(parse(text))
    assert [(layer.weight, layer.macs) for layer in layers] == [(None, 6 * 6 * 8), (None, 6 * 6 * 8)]


def test_weight_is_seen_through_mask_and_view() -> None:
    model = parse(
        """g (float[N, 4] x) => (float[N, 3] y) {
            m = Mul(w, mask)
            t = Transpose(m)
            s = Mul(x, scale)
            y = MatMul(s, t)
        }""",
        w=(3, 4),
        mask=(3, 4),
        scale=(4,),
    )
    for name, role in (("w", Role.PARAMETER), ("mask", Role.MASK), ("scale", Role.PARAMETER)):
        set_role(model.graph.initializers[name], role)
    assert cost.layer_costs(model) == (cost.LayerCost("y", "MatMul", "w", 12),)


def test_product_without_a_mask_is_no_weight() -> None:
    model = parse("g (float[N, 4] x) => (float[N, 3] y) { m = Mul(w, v) y = MatMul(x, m) }", w=(4, 3), v=(4, 3))
    assert cost.layer_costs(model)[0].weight is None


def test_fixed_batch_is_divided_out_and_model_is_left_alone() -> None:
    symbolic = parse(NETWORK, **SHAPES)
    before = ir.to_onnx_text(symbolic)
    fixed = parse(NETWORK.replace("N", "4"), **SHAPES)
    assert macs(fixed) == macs(symbolic)
    assert ir.to_onnx_text(symbolic) == before


def test_gradient_of_conv_counts_the_outputs_that_exist() -> None:
    text = """g (float[N, 6, 5, 5] dy, float[N, 4, 5, 5] x) => (float[N, 4, 5, 5] dx, float[6, 4, 3, 3] dw) {
        dx, dw = com.microsoft.ConvGrad<pads = [1, 1, 1, 1]>(dy, x, w)
    }"""
    one = 6 * 25 * 4 * 9
    assert macs(parse(text, w=(6, 4, 3, 3))) == [2 * one]
    assert macs(
        parse(text.replace("float[N, 4, 5, 5] dx, ", "").replace("dx, dw = ", '"", dw = '), w=(6, 4, 3, 3))
    ) == [one]


def test_free_operators_are_listed() -> None:
    assert cost.free_ops(parse(NETWORK, **SHAPES)) == collections.Counter(Relu=1, GlobalAveragePool=1, Flatten=1)


def test_unknown_shape_names_the_node() -> None:
    model = parse("g (float[N, 4, H, W] x) => (float[N, 6, P, Q] y) { [stem] y = Conv(x, w) }", w=(6, 4, 3, 3))
    with pytest.raises(ModelError, match=r"node stem \(Conv\): the shape of y is unknown"):
        cost.layer_costs(model)


@pytest.mark.parametrize("inputs", ["x", "x, w"])
def test_too_few_inputs_or_axes_name_the_node(inputs: str) -> None:
    model = parse(f"g (float x, float w) => (float[3] y) {{ [product] y = MatMul({inputs}) }}")
    with pytest.raises(ModelError, match=r"node product \(MatMul\): has too few inputs or axes"):
        cost.layer_costs(model)


def test_operator_without_a_rule_is_refused_not_counted_as_zero() -> None:
    model = parse('g (float[N, 4] x) => (float[N, 3] y) { [mix] y = Einsum<equation = "ni,io->no">(x, w) }', w=(4, 3))
    with pytest.raises(ModelError, match=r"node mix \(Einsum\): no rule"):
        cost.layer_costs(model)


SPECTRUM = """g (float[N, 32, 1] x) => (float[N, 3] y) {
    [spectrum] s = STFT(x, step, , length)
    r = Relu(s)
    f = Flatten(r)
    [fc] y = MatMul(f, w)
}"""


def test_operators_without_a_rule_in_front_of_all_weights_are_said_to_be_uncounted() -> None:
    model = parse(SPECTRUM, w=(70, 3))
    for name, number in (("step", 4), ("length", 8)):
        value = next(v for node in model.graph for v in node.inputs if v is not None and v.name == name)
        value.const_value = ir.tensor(np.asarray(number), name=name)
        model.graph.register_initializer(value)
    set_role(model.graph.initializers["w"], Role.PARAMETER)
    assert [node.name for node in cost.uncounted(model)] == ["spectrum"]
    assert macs(model) == [70 * 3]
    (line,) = cost.remarks(model)
    assert line == "the work of STFT (spectrum) is in none of the numbers of FLOPs: no rule counts it"
    assert cost.remarks(parse(NETWORK, **SHAPES)) == []


SHARED = {"Conv", "Gemm", "MatMul"}


@pytest.mark.parametrize("name", ["cnn", "attention"])
def test_onnx_tool_agrees(name: str, tmp_path: pathlib.Path) -> None:
    """On what it counts as we do; its ConvTranspose takes the zeros between strided inputs for work."""
    attention = """g (float[1, 6, 8] x) => (float[1, 6, 5] y) {
        q = MatMul(x, wq) k = MatMul(x, wk) t = Transpose<perm = [0, 2, 1]>(k)
        s = MatMul(q, t) p = Softmax(s) a = MatMul(p, x) y = MatMul(a, wo)
    }"""
    models = {
        "cnn": parse(NETWORK.replace("N", "1"), **SHAPES),
        "attention": parse(attention, wq=(8, 4), wk=(8, 4), wo=(8, 5)),
    }
    path = tmp_path / "model.onnx"
    ir.save(models[name], path)
    oracle = onnx_tool.Model(str(path), {"verbose": False})
    oracle.graph.shape_infer(None)
    oracle.graph.profile()
    theirs = [(node.op_type, int(node.macs[0])) for node in oracle.graph.nodemap.values() if node.op_type in SHARED]
    ours = [(layer.op_type, layer.macs) for layer in cost.layer_costs(models[name]) if layer.op_type in SHARED]
    assert len(ours) >= 4
    assert sorted(ours) == sorted(theirs)


class Network:
    """Writes a network as ONNX text, with its weights as graph inputs: shapes are all that a cost needs."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.weights: dict[str, tuple[int, ...]] = {}

    def conv(self, source: str, name: str, channels: tuple[int, int], kernel: int, stride: int) -> str:
        self.weights[name] = (channels[1], channels[0], kernel, kernel)
        pads, strides = [kernel // 2] * 4, [stride] * 2
        self.lines.append(f"{name}_out = Conv<pads = {pads}, strides = {strides}>({source}, {name})")
        return f"{name}_out"

    def block(self, source: str, name: str, channels: tuple[int, int], stride: int) -> str:
        first = self.conv(source, f"{name}_conv1", channels, 3, stride)
        second = self.conv(first, f"{name}_conv2", (channels[1], channels[1]), 3, 1)
        if channels[0] != channels[1]:
            source = self.conv(source, f"{name}_shortcut", channels, 1, stride)
        self.lines.append(f"{name}_sum = Add({second}, {source}) {name}_out = Relu({name}_sum)")
        return f"{name}_out"


@pytest.fixture(scope="module")
def resnet18() -> ir.Model:
    """ResNet-18 for 32x32 images, width 64: what the paper's FLOPs are counted on."""
    net = Network()
    value, width = net.conv("x", "stem", (3, 64), 3, 1), 64
    for stage in range(4):
        for index in range(2):
            out, stride = 64 * 2**stage, 2 if stage and not index else 1
            value, width = net.block(value, f"s{stage}b{index}", (width, out), stride), out
    net.lines.append(f"pool = GlobalAveragePool({value}) flat = Flatten(pool) y = Gemm<transB = 1>(flat, head)")
    net.weights["head"] = (10, 512)
    inputs = ", ".join(f"float{list(shape)} {name}" for name, shape in net.weights.items())
    model = parse(f"g (float[N, 3, 32, 32] x, {inputs}) => (float[N, 10] y) {{ {' '.join(net.lines)} }}")
    for value in model.graph.inputs[1:]:
        set_role(value, Role.PARAMETER)
    return model


def run_flops(of_sample: Flops, seen: int, replayed: int) -> dict[str, float]:
    """FLOPs of a run by the graph of the artifact; nothing was measured."""
    sample = (of_sample.forward_dense, of_sample.forward_sparse, of_sample.training_dense, of_sample.training_sparse)
    graph = harness.Graph(run_graph.build(run_graph.SampleFlops(*sample)))
    counts = {"samples_seen": seen, "samples_replayed": replayed, "samples_measured": 0}
    return {name: float(value) for name, value in graph({n: np.array(c) for n, c in counts.items()}).items()}


SAMPLES = 50_000 * 50  # Split CIFAR-10, 50 epochs a task


@pytest.mark.parametrize(("replay_batches", "paper"), [(0, 8.3e15), (1, 11.1e15), (2, 13.9e15)])
def test_dense_resnet18_has_the_papers_flops(resnet18: ir.Model, replay_batches: int, paper: float) -> None:
    per_sample = cost.training_flops(cost.layer_costs(resnet18), {}, {})
    run = run_flops(cost.to_manifest(per_sample), SAMPLES, SAMPLES * replay_batches)
    assert run["paper_dense"] == run["paper_sparse"]
    assert round(run["paper_dense"] / 1e15, 1) == paper / 1e15
    assert run["true_dense"] == pytest.approx(per_sample.forward_dense * 3 * SAMPLES * (1 + replay_batches))


PRESENTED = round(SAMPLES * (1 - 0.075 * (0.9 + 0.8 + 0.7 + 0.6)))
"""Presentations when 30 % of the samples are removed in four equal stages at 0.1 to 0.4 of a task."""


@pytest.mark.parametrize(
    ("sparsity", "gradient_sparsity", "whole", "stages", "paper"),
    [(0.75, 0.80, 2.58, 2.70, 2.5), (0.90, 0.90, 1.08, 1.22, 1.1), (0.95, 0.95, 0.54, 0.69, 0.6)],
)
def test_sparse_resnet18_is_near_the_papers_flops(
    resnet18: ir.Model, sparsity: float, gradient_sparsity: float, whole: float, stages: float, paper: float
) -> None:
    """SparCL-DER++ in 1e15 FLOPs: masks on every layer, masks on the 3x3 convolutions of the stages, and as published.

    The published numbers have one or two digits, and q at s = .90 and .95 and the removed share are not stated with
    them; with q = s there and 30 % removed they lie from 10 % below to 12 % above the count with masks on every layer,
    and 7 to 13 % below the one with the stem, the shortcuts and the classifier dense.
    """
    layers = cost.layer_costs(resnet18)
    weights = [str(layer.weight) for layer in layers]
    masked = [name for name in weights if name.endswith(("conv1", "conv2"))]
    assert len(masked) == 16
    totals = []
    for names in (weights, masked):
        shares = (dict.fromkeys(names, 1 - sparsity), dict.fromkeys(names, 1 - gradient_sparsity))
        run = run_flops(cost.to_manifest(cost.training_flops(layers, *shares)), PRESENTED, 2 * PRESENTED)
        assert run["paper_sparse"] < run["true_sparse"] < run["true_dense"]
        totals.append(run["paper_sparse"] / 1e15)
    assert [round(total, 2) for total in totals] == [whole, stages]
    assert all(abs(paper / total - 1) < 0.15 for total in totals)


def test_sparsity_scales_each_share_of_a_step() -> None:
    layers = [cost.LayerCost("a", "Conv", "w", 100), cost.LayerCost("b", "MatMul", None, 10)]
    flops = cost.training_flops(layers, {"w": 0.25}, {"w": 0.1})
    assert (flops.forward_dense, flops.forward_sparse) == (220, 200 * 0.25 + 20)
    assert (flops.input_gradient_dense, flops.input_gradient_sparse) == (220, 200 * 0.25 + 20)
    assert (flops.weight_gradient_dense, flops.weight_gradient_sparse) == (220, 200 * 0.1 + 20)
    written = cost.to_manifest(flops)
    assert written.training_dense == 660
    assert written.training_sparse == pytest.approx(2 * 70 + 40)
    assert written.forward_sparse == 70
