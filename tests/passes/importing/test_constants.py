"""Buffers and other constants of a model are not trained where its file tells them from parameters."""

import io
import math
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn
from torch.nn import functional

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.contract import CONSTANTS
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.importing import doubts
from sparcl_compile.passes.importing.expand_runtime_operators import ExpandRuntimeOperators
from sparcl_compile.passes.importing.import_forward import ImportForward
from sparcl_compile.passes.importing.remarks import remarks_of
from tests.support.gradient_check import by_rules, imported, worst_gradient
from tests.support.pages import blocks, run

LAYERS = {"c.weight", "head.weight", "head.bias", "learned"}


class Net(nn.Module):
    """Buffers as a convolution's weight, as a scale, as a table, and one that no state dictionary has."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.c, self.norm = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4, affine=False)
        self.ln, self.head = nn.LayerNorm(4, elementwise_affine=False), nn.Linear(4, 3)
        self.learned = nn.Parameter(torch.rand(4, 8, 8))
        self.register_buffer("blur", torch.rand(4, 1, 3, 3))
        self.register_buffer("table", torch.rand(4, 8, 8))
        self.register_buffer("gain", torch.rand(4) + 1)
        self.register_buffer("shift", torch.rand(4), persistent=False)
        self.plain = torch.rand(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.c(x))) + self.table + self.learned
        x = torch.relu(functional.conv2d(x, self.blur, groups=4)).mean((2, 3))
        return self.head(self.ln(torch.relu(x * self.gain) + self.shift + self.plain))


def file_of(module: nn.Module, **options: object) -> onnx.ModelProto:
    image, target = torch.rand(2, 1, 8, 8), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.onnx.export(module.eval(), (image,), None if options["dynamo"] else target, **options)
    return made.model_proto if options["dynamo"] else onnx.load_from_string(target.getvalue())


def parameters(proto: onnx.ModelProto) -> set[str]:
    return {str(value.name) for value in values_with_role(imported(proto), Role.PARAMETER)}


@pytest.mark.parametrize("optimize", [False, True])
def test_the_newer_exporter_tells_parameters_from_buffers(optimize: bool) -> None:
    proto = file_of(Net(), dynamo=True, optimize=optimize, dynamic_shapes=({0: torch.export.Dim("N")},), verbose=False)
    assert parameters(proto) == LAYERS
    assert not list(doubts.remarks(imported(proto)))


def test_a_buffer_that_the_newer_exporter_folded_stays_one() -> None:
    class Projected(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.head = nn.Linear(64, 6), nn.Linear(6, 3)
            self.register_buffer("fixed", torch.rand(6, 6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.relu(functional.linear(torch.relu(self.a(x.flatten(2))), self.fixed)).mean(1))

    proto = file_of(Projected(), dynamo=True, dynamic_shapes=({0: torch.export.Dim("N")},), verbose=False)
    shapes = {tuple(v.shape or ()) for v in values_with_role(imported(proto), Role.PARAMETER)}
    assert shapes == {(64, 6), (6,), (3, 6), (3,)}


@pytest.mark.parametrize("optimize", [False, True])
def test_a_table_that_the_model_computes_does_not_train(optimize: bool) -> None:
    class Waves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.head = nn.Linear(8, 6), nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            places = torch.arange(8).float()[:, None] * torch.exp(torch.arange(6).float())
            return self.head((self.a(x.flatten(1, 2)) + torch.sin(places)).mean(1))

    options = {"dynamo": True, "dynamic_shapes": ({0: torch.export.Dim("N")},), "optimize": optimize}
    proto = file_of(Waves(), **options, verbose=False)
    assert parameters(proto) == {"a.weight", "a.bias", "head.weight", "head.bias"}
    lines = [line for line in remarks_of(imported(proto)) if line.startswith("sin does not train: ")]
    assert len(lines) == optimize


def test_the_older_exporter_tells_constants_and_leaves_buffers_in_doubt() -> None:
    batch = {"x": {0: "N"}}
    proto = file_of(Net(), dynamo=False, input_names=["x"], dynamic_axes=batch, do_constant_folding=False)
    assert parameters(proto) == LAYERS | {"blur", "table", "gain"}
    (line,) = doubts.remarks(imported(proto))
    assert line.startswith("learned, table, gain train: whether that is a parameter or a constant of the model")
    assert "--freeze NAME" in line


def test_a_frozen_script_stores_its_weights_in_nodes_and_they_train() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that tracing is deprecated
        frozen = torch.jit.freeze(torch.jit.trace(Net().eval(), torch.rand(2, 1, 8, 8)))
    batch = {"x": {0: "N"}}
    proto = file_of(frozen, dynamo=False, input_names=["x"], dynamic_axes=batch, do_constant_folding=False)
    found = {tuple(v.shape or ()) for v in values_with_role(imported(proto), Role.PARAMETER)}
    assert {(4, 1, 3, 3), (3, 4), (3,)} <= found


def test_a_file_that_says_nothing_trains_its_constant_nodes() -> None:
    text = """<ir_version: 10, opset_import: ["" : 18]>
    g (float[N,2] x) => (float[N,2] logits) {
      w = Constant <value: tensor = float[2,2] {1, 2, 3, 4}> ()
      b = Constant <value: tensor = float[2] {1, 2}> ()
      logits = Gemm (x, w, b)
    }"""
    assert parameters(onnx.parser.parse_model(text)) == {"w", "b"}


PERCEPTRON = """<ir_version: 10, opset_import: ["" : 18]>
    g (float[N,2] x) => (float[N,2] logits) {
      w = Constant <value: tensor = float[2,2] {1, 2, 3, 4}> ()
      v = Constant <value: tensor = float[2,2] {4, 3, 2, 1}> ()
      turned = Transpose <perm = [1, 0]> (v)
      h = MatMul (x, w)
      r = Relu (h)
      logits = MatMul (r, turned)
    }"""
"""Products with matrices in Constant nodes, and nothing else that could be a weight."""
SPECTRUM = """<ir_version: 10, opset_import: ["" : 18]>
    g (float[N,2] x, float[2,2] v) => (float[N,2] logits) {
      dft = Constant <value: tensor = float[2,2] {1, 2, 3, 4}> ()
      mel = Constant <value: tensor = float[2,2] {5, 6, 7, 8}> ()
      s = MatMul (x, dft)
      power = Mul (s, s)
      m = MatMul (power, mel)
      h = MatMul (m, v)
      r = Relu (h)
      logits = MatMul (r, mel)
    }"""
"""Two matrices of a spectrogram in Constant nodes, a weight in an initializer, and a product behind it."""


def spectrum() -> onnx.ModelProto:
    proto = onnx.parser.parse_model(SPECTRUM)
    proto.graph.initializer.append(numpy_helper.from_array(np.float32([[1, 2], [3, 4]]), "v"))
    return proto


@pytest.mark.parametrize("producer", ["", "pytorch", "tf2onnx"])
def test_matrices_in_constant_nodes_train_where_nothing_else_could_be_a_weight(producer: str) -> None:
    proto = onnx.parser.parse_model(PERCEPTRON)
    proto.producer_name = producer
    assert parameters(proto) == {"w", "v"}
    assert not list(doubts.remarks(imported(proto)))


def test_a_spectrogram_whose_weights_stand_in_constant_nodes_too_trains_in_doubt() -> None:
    weight = "v = Constant <value: tensor = float[2,2] {1, 2, 3, 4}> () dft ="
    proto = onnx.parser.parse_model(SPECTRUM.replace(", float[2,2] v)", ")").replace("dft =", weight))
    assert {"dft", "mel.MatMul_5", "v"} < parameters(proto)
    (line,) = doubts.remarks(imported(proto))
    assert line.startswith("dft, mel.MatMul_5 train: whether that is a parameter or a constant of the model")


def test_matrices_in_constant_nodes_train_where_other_layers_read_such_ones() -> None:
    proto = spectrum()
    node = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.float32([[1, 2], [3, 4]])))
    proto.graph.node.insert(0, node)
    proto.graph.node[-1].CopyFrom(helper.make_node("Gemm", ["r", "c"], ["logits"]))
    assert parameters(proto) == {"dft", "mel", "v", "c"}


def test_a_spectrogram_in_front_of_weights_stays_and_the_note_says_so() -> None:
    model = imported(spectrum())
    assert {str(value.name) for value in values_with_role(model, Role.PARAMETER)} == {"v", "mel.MatMul_7"}
    (line,) = remarks_of(model)
    assert line.startswith("dft, mel do not train: a matrix in a Constant node in front of all weights")
    (line,) = doubts.remarks(model)
    assert line.startswith("mel.MatMul_7 trains: whether that is a parameter")
    assert "--freeze NAME" in line


def test_a_file_of_pytorch_tells_that_its_matrices_in_constant_nodes_are_none() -> None:
    proto = spectrum()
    proto.producer_name = "pytorch"
    assert parameters(proto) == {"v"}
    assert not remarks_of(imported(proto))


def test_the_lines_of_exporting_md_make_parameters_of_constant_nodes(root: Path, tmp_path: Path) -> None:
    (block,) = [
        block
        for block in blocks((root / "docs/exporting.md").read_text(encoding="utf-8"))
        if block.told.get("test") == "tests/passes/importing/test_constants.py"
    ]
    onnx.save(spectrum(), tmp_path / "model.onnx")
    done = run(block, tmp_path, Path(sys.executable).parent)
    assert done.returncode == 0, done.stderr
    assert {"dft", "mel", "v"} <= parameters(onnx.load(tmp_path / "model.onnx"))


def test_a_matrix_with_a_bias_in_front_of_weights_is_a_layer() -> None:
    proto = spectrum()
    bias = helper.make_node("Add", ["s", "bias"], ["power"])
    proto.graph.initializer.append(numpy_helper.from_array(np.float32([1, 2]), "bias"))
    proto.graph.node[3].CopyFrom(bias)
    assert {"dft", "mel", "bias", "v"} <= parameters(proto)


class Gates(nn.Module):
    """Parameters of one number (ReZero's), of an input as it is, and of operators that read constants elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(64, 6), nn.Linear(6, 3)
        self.place = nn.Parameter(torch.rand(64))
        self.gate, self.one = nn.Parameter(torch.tensor(0.0)), nn.Parameter(torch.tensor([0.7]))
        self.low, self.power = nn.Parameter(torch.rand(6) - 2), nn.Parameter(torch.tensor(1.3))
        self.register_buffer("root", torch.tensor(1.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(self.body(x.flatten(1) + self.place)) * self.root + self.one
        y = torch.maximum(y, self.low) + self.gate * torch.sin(y)
        return self.head((torch.sigmoid(y) ** self.power) * self.one)


NUMBERS = {"body.weight", "body.bias", "head.weight", "head.bias", "gate", "one"}


def test_whatever_the_newer_exporter_calls_a_parameter_trains() -> None:
    proto = file_of(Gates(), dynamo=True, optimize=False, dynamic_shapes=({0: torch.export.Dim("N")},), verbose=False)
    model = imported(proto, target="ort")
    found = {str(value.name): value for value in values_with_role(model, Role.PARAMETER)}
    assert found.keys() == NUMBERS | {"place", "low", "power"}
    assert not [line for line in remarks_of(model) if "scales its samples" in line]
    assert found["gate"].shape == found["power"].shape == [1]
    worst, parameter = worst_gradient(model, by=by_rules)
    assert worst < 1e-3, parameter


class Computed(nn.Module):
    """Tables that are computed from nothing, and what is computed from a parameter and from a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.head, self.w = nn.Linear(8, 6), nn.Linear(6, 3), nn.Parameter(torch.rand(6))
        self.register_buffer("table", torch.rand(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = torch.sin(torch.arange(48, dtype=torch.float32).reshape(8, 6) * 0.1)
        x = torch.tanh(self.a(x.flatten(2).reshape(-1, 8, 8)) + places) * (torch.linspace(0, 1, 6) + 0.5)
        return self.head((torch.tanh(x) * torch.exp(self.w) * torch.exp(self.table)).mean(1))


@pytest.mark.parametrize(("optimize", "folded"), [(False, "exp"), (True, "w")])
def test_a_table_that_the_program_computes_does_not_train(optimize: bool, folded: str) -> None:
    shapes = ({0: torch.export.Dim("N")},)
    found = parameters(file_of(Computed(), dynamo=True, optimize=optimize, dynamic_shapes=shapes, verbose=False))
    assert found == {"a.weight", "a.bias", folded, "head.weight", "head.bias"}


class Newer(nn.Module):
    """Operators of opsets above 18, which are said in others, with numbers of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.groups, self.body = nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Linear(4, 6)
        self.root, self.head = nn.RMSNorm(6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.gelu(self.groups(self.c(x)), approximate="tanh").mean((2, 3))
        return self.head(functional.gelu(self.root(functional.silu(self.body(x)))) ** 2 * 0.5)


@pytest.mark.parametrize("opset", [20, 21, 23])
def test_the_numbers_of_an_operator_that_is_said_in_others_do_not_train_nor_literals(opset: int) -> None:
    shapes = ({0: torch.export.Dim("N")},)
    proto = file_of(Newer(), dynamo=True, opset_version=opset, dynamic_shapes=shapes, verbose=False)
    assert "Gelu" in {node.op_type for node in proto.graph.node}
    found = values_with_role(imported(proto), Role.PARAMETER)
    lengths = sorted(math.prod(map(int, value.shape or ())) for value in found)  # type: ignore[arg-type]
    assert lengths == sorted(one.numel() for one in Newer().parameters())


FUSED = """<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1], producer_name: "pytorch">
g (float[N,2] x) => (float[N,3] y) <float[2,2] w = {1.0, 2.0, 3.0, 4.0}, float[2] b = {0.1, 0.2},
    float[2,3] v = {1.0, 2.0, 3.0, 4.0, 5.0, 7.0}, float val_83 = {0.5}, float gate = {2.0}> {
    h = MatMul (x, w)
    [BiasGelu] a = com.microsoft.BiasGelu (h, b)
    [QuickGelu] q = com.microsoft.QuickGelu (a)
    s = Mul (q, val_83)
    t = Mul (s, gate)
    y = MatMul (t, v)
}"""


def test_nor_do_those_of_an_operator_of_the_runtime_s_optimiser() -> None:
    """Where the file lost what PyTorch said, single numbers train in doubt, but not those that its exporter named."""
    model = ir.from_proto(onnx.parser.parse_model(FUSED))
    for one in (ExpandRuntimeOperators(), ImportForward()):
        one(model)
    assert {str(value.name) for value in values_with_role(model, Role.PARAMETER)} == {"w", "b", "v", "gate"}


@pytest.mark.parametrize("opset", [18, 21], ids=["of the exporter", "of the import"])
def test_the_numbers_of_an_operator_do_not_train(opset: int) -> None:
    """Opset 18 has no Gelu, and the exporter writes its numbers; that of 21 gets them before roles are given."""
    layers = [nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.GELU(), nn.Flatten(), nn.GELU("tanh"), nn.Linear(144, 3)]
    proto = file_of(nn.Sequential(*layers), dynamo=True, opset_version=opset, verbose=False)
    model = imported(proto, target="ort")
    assert len([*values_with_role(model, Role.PARAMETER)]) == 6
    assert all(value.const_value.size > 1 for value in values_with_role(model, Role.PARAMETER) if value.const_value)


def test_single_numbers_of_the_older_exporter_train_in_doubt() -> None:
    batch = {"x": {0: "N"}}
    proto = file_of(Gates(), dynamo=False, input_names=["x"], dynamic_axes=batch, do_constant_folding=False)
    found = parameters(proto)
    assert {name for name in found if not name.startswith("one.")} == NUMBERS | {"root"}
    (line,) = doubts.remarks(imported(proto))
    assert "gate" in line
    assert "root" in line


def test_what_the_older_exporter_leaves_untold_and_does_not_train_is_said() -> None:
    batch = {"x": {0: "N"}}
    proto = file_of(Gates(), dynamo=False, input_names=["x"], dynamic_axes=batch, do_constant_folding=False)
    lines = [line for line in remarks_of(imported(proto)) if "not train" in line]
    (line,) = lines
    assert line.startswith("place, low, power do not train: what is added to or multiplied with the input as it comes")
    assert line.endswith("if it is a parameter, export from PyTorch with dynamo=True, which tells")


def test_a_number_that_the_older_exporter_folded_is_a_constant() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.head = nn.Linear(64, 6), nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.tanh(self.a(x.flatten(1))) / torch.sqrt(torch.tensor(6.0)))

    proto = file_of(Attention(), dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "N"}})
    assert parameters(proto) == {"a.weight", "a.bias", "head.weight", "head.bias"}


@pytest.mark.parametrize("shape", [[1, 2], [2, 2]])
def test_means_and_tables_in_initializers_keep_no_matrix_from_training(shape: list[int]) -> None:
    text = PERCEPTRON.replace("float[N,2] x)", f"float[N,2] x, float[{shape[0]},2] m)").replace("(x, w)", "(c, w)")
    text = text.replace("h = ", "s = ReduceMean <keepdims = 1> (m, zero) c = Sub (x, s) h = ")
    text = text.replace("w = ", "zero = Constant <value: tensor = int64[1] {0}> () w = ", 1)
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.append(numpy_helper.from_array(np.float32([[1, 2], [3, 4]])[: shape[0]], "m"))
    assert {"w", "v"} <= parameters(proto)


@pytest.mark.parametrize(("constants", "trained"), [("", {"w", "c", "gate"}), ("c", {"w", "gate"}), (None, {"w", "c"})])
def test_an_export_of_this_project_says_what_was_learned(constants: str | None, trained: set[str]) -> None:
    """Without the list, as of an older version, a scalar is taken for a constant."""
    text = """<ir_version: 10, opset_import: ["" : 18], producer_name: "sparcl-compile">
    g (float[N,2] x) => (float[N,2] logits) <float[2,2] w = {1, 2, 3, 4}, float[2] c = {1, 2}, float gate = {0.5}> {
      h = MatMul (x, w)
      r = Tanh (h)
      s = Mul (r, c)
      logits = Mul (s, gate)
    }"""
    proto = onnx.parser.parse_model(text)
    if constants is not None:
        helper.set_model_props(proto, {CONSTANTS: constants})
    assert parameters(proto) == trained
