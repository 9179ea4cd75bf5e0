"""The operators of ONNX Runtime's optimiser: their expansions say what the runtime says, and train like any other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from sparcl_compile.compiling.load import load_graph
from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.importing import verify
from sparcl_compile.passes.importing.expand_runtime_operators import EXPANSIONS, ExpandRuntimeOperators
from sparcl_compile.passes.importing.import_forward import ImportForward
from tests.support.cli import call, check_refused, done

RUNTIME = "com.microsoft"
Arrays = dict[str, np.ndarray]
RNG = np.random.default_rng(5)
WIDE = {f: RNG.normal(size=s).astype(np.float32) for f, s in (("scale", 6), ("shift", 6), ("bias", 6))}
CONV = {f: RNG.normal(size=s).astype(np.float32) for f, s in (("w", (5, 3, 3, 3)), ("b", 5))}
GEMM = {f: RNG.normal(size=s).astype(np.float32) for f, s in (("w", (7, 6)), ("b", 7))}
TABLES = {
    f: RNG.normal(size=s).astype(np.float32) for f, s in (("words", (9, 6)), ("places", (5, 6)), ("parts", (2, 6)))
}


def proto_of(
    op_type: str,
    x: Sequence[int],
    constants: Arrays,
    names: Sequence[str] | None = None,
    *,
    opset: int = 17,
    domain: str = RUNTIME,
    results: int = 1,
    ids: bool = False,
    **attributes: Any,
) -> onnx.ModelProto:
    """A graph of one node that reads ``x`` and constants, and whose last result is the output."""
    inputs = ["x", *constants] if names is None else list(names)
    outputs = ["", *[""] * (results - 2), "y"] if results > 1 else ["y"]
    outputs[0] = outputs[0] or "first"
    outputs += ["mask"] if ids else []
    node = helper.make_node(op_type, inputs, outputs, "odd", domain=domain, **attributes)
    kind = TensorProto.INT32 if ids else TensorProto.FLOAT
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", kind, ["N", *x])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(RUNTIME, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def both(proto: onnx.ModelProto, x: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The answers of ONNX Runtime to a file as it is, and expanded."""
    onnx.save(proto, path)
    model = load_graph(path)
    assert ExpandRuntimeOperators()(model).modified
    assert not ExpandRuntimeOperators()(model).modified
    assert {node.domain for node in model.graph} == {""}
    return tuple(verify.session(one).run(["y"], {"x": x})[0] for one in (proto, ir.to_proto(model)))


CASES: dict[str, dict[str, Any]] = {
    "Gelu": {"op_type": "Gelu", "x": [6], "constants": {}},
    "BiasGelu": {"op_type": "BiasGelu", "x": [6], "constants": {"b": WIDE["bias"]}},
    "FastGelu": {"op_type": "FastGelu", "x": [6], "constants": {}},
    "FastGelu with a bias": {"op_type": "FastGelu", "x": [6], "constants": {"b": WIDE["bias"]}},
    "QuickGelu": {"op_type": "QuickGelu", "x": [6], "constants": {}, "alpha": 1.3},
    "FusedMatMul": {
        "op_type": "FusedMatMul", "x": [3, 4], "constants": {}, "names": ["x", "x"], "transB": 1, "alpha": 0.3,
    },
    "FusedMatMul, first": {"op_type": "FusedMatMul", "x": [3, 4], "constants": {}, "names": ["x", "x"], "transA": 1},
    "TransposeMatMul": {"op_type": "TransposeMatMul", "x": [3, 4], "constants": {}, "names": ["x", "x"], "transB": 1},
    "FusedGemm": {"op_type": "FusedGemm", "x": [6], "constants": GEMM, "transB": 1, "alpha": 0.5, "activation": "Relu"},
    "FusedGemm, leaky": {
        "op_type": "FusedGemm", "x": [6], "constants": GEMM, "transB": 1, "activation": "LeakyRelu",
        "activation_alpha": 0.2,
    },
    "FusedConv": {
        "op_type": "FusedConv", "x": [3, 6, 5], "constants": CONV, "activation": "Relu", "pads": [1, 1, 0, 1],
    },
    "FusedConv, clipped": {
        "op_type": "FusedConv", "x": [3, 6, 5], "constants": CONV, "strides": [2, 1], "activation": "Clip",
        "activation_params": [-0.5, 1.5],
    },
    "FusedConv, hard": {
        "op_type": "FusedConv", "x": [3, 6, 5], "constants": CONV, "activation": "HardSigmoid",
        "activation_params": [0.3, 0.4],
    },
    "SkipLayerNormalization": {
        "op_type": "SkipLayerNormalization", "x": [4, 6], "constants": WIDE,
        "names": ["x", "x", "scale", "shift", "bias"], "epsilon": 0.01,
    },
    "SkipLayerNormalization, sum": {
        "op_type": "SkipLayerNormalization", "x": [4, 6], "constants": WIDE, "names": ["x", "x", "scale", "shift"],
        "results": 4,
    },
    "SkipSimplifiedLayerNormalization": {
        "op_type": "SkipSimplifiedLayerNormalization", "x": [4, 6], "constants": WIDE, "names": ["x", "x", "scale"],
        "epsilon": 0.01,
    },
    "SimplifiedLayerNormalization": {
        "op_type": "SimplifiedLayerNormalization", "x": [4, 6], "constants": {"scale": WIDE["scale"]}, "domain": "",
        "epsilon": 0.01,
    },
    "LayerNormalization": {
        "op_type": "LayerNormalization", "x": [4, 6], "constants": {k: WIDE[k] for k in ("scale", "shift")},
        "domain": "", "opset": 13, "epsilon": 0.01,
    },
    "EmbedLayerNormalization": {
        "op_type": "EmbedLayerNormalization", "x": [5], "constants": {**TABLES, **WIDE}, "ids": True,
        "names": ["x", "", "words", "places", "", "scale", "shift"],
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("opset", [13, 18])
def test_the_expansion_says_what_the_runtime_says(name: str, opset: int, tmp_path: Path) -> None:
    case = {"opset": opset, **CASES[name]}
    proto = proto_of(**case)
    shape = (2, *case["x"])
    x = RNG.integers(0, 9, shape).astype(np.int32) if case.get("ids") else verify.random_input(shape)
    wanted, found = both(proto, x, tmp_path / "m.onnx")
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=2e-6)


def test_every_expansion_has_a_case() -> None:
    assert {case["op_type"] for case in CASES.values()} == set(EXPANSIONS)


def test_text_in_text_out() -> None:
    model = ir.from_onnx_text("""
        <ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
        g (float[N,4] x) => (float[N,4] y) { [act] y = com.microsoft.QuickGelu <alpha = 1.5> (x) }
    """)
    assert ExpandRuntimeOperators()(model).modified
    assert [(node.op_type, [v.name for v in node.inputs], node.outputs[0].name) for node in model.graph] == [
        ("Mul", ["x", "act.alpha"], "act.mul"),
        ("Sigmoid", ["act.mul"], "act.sigmoid"),
        ("Mul", ["x", "act.sigmoid"], "y"),
    ]
    assert not ExpandRuntimeOperators()(model).modified


@pytest.mark.parametrize(
    "case",
    [
        {"op_type": "FusedMatMul", "x": [3, 4], "constants": {}, "names": ["x", "x"], "transBatchA": 1},
        {"op_type": "FusedGemm", "x": [6], "constants": GEMM, "transB": 1, "activation": "Softsign"},
        {
            "op_type": "SkipLayerNormalization",
            "x": [4, 6],
            "constants": WIDE,
            "names": ["x", "x", "scale"],
            "results": 2,
        },
        {"op_type": "Attention", "x": [4, 6], "constants": {"w": np.zeros((6, 18), np.float32)}, "num_heads": 2},
    ],
)
def test_what_has_no_expansion_is_left_and_then_refused_by_name(case: dict[str, Any]) -> None:
    model = ir.from_proto(proto_of(**case))
    assert not ExpandRuntimeOperators()(model).modified
    with pytest.raises(ModelError, match=rf"com\.microsoft: {case['op_type']} \(odd\).*ORT_ENABLE_BASIC"):
        ImportForward()(model)


class Tokens(torch.nn.Module):
    """A small transformer block and a head: what the optimiser fuses in it has most of the operators above."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = torch.nn.ModuleList(torch.nn.LayerNorm(8) for _ in range(2))
        self.query, self.key = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
        self.wide, self.narrow, self.head = torch.nn.Linear(8, 16), torch.nn.Linear(16, 8), torch.nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norms[0](x)
        x = self.norms[1](x + self.narrow(torch.nn.functional.gelu(self.wide(x))))
        x = x + torch.softmax(self.query(x) @ self.key(x).transpose(1, 2) / 3, -1) @ x
        return self.head((x * torch.sigmoid(1.702 * x)).mean(1))


class Picture(torch.nn.Module):
    """Convolutions with activations and a residual addition."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (torch.nn.Conv2d(c, 8, 3, padding=1) for c in (3, 8))
        self.wide, self.head = torch.nn.Linear(8, 16), torch.nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.a(x))
        x = torch.nn.functional.leaky_relu(self.b(x))
        return self.head(torch.relu(self.wide(x.mean((2, 3)))))


def optimised(net: torch.nn.Module, x: torch.Tensor, path: Path, opset: int, level: str) -> set[str]:
    """Write a network as ONNX Runtime's optimiser leaves it; returns the operators of its own."""
    plain = path.with_name("plain.onnx")
    names = {"input_names": ["x"], "dynamic_axes": {"x": {0: "N"}}, "opset_version": opset}
    torch.onnx.export(net.eval(), (x,), str(plain), dynamo=False, **names)
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.optimized_model_filepath, options.log_severity_level = str(path), 4
    ort.InferenceSession(str(plain), options, providers=["CPUExecutionProvider"])
    return {node.op_type for node in onnx.load(path).graph.node if node.domain.startswith(RUNTIME)}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("opset", [13, 17])
def test_an_optimised_transformer_learns_and_is_exported(opset: int, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    torch.manual_seed(0)
    found = optimised(Tokens(), torch.randn(1, 6, 8), path, opset, "ORT_ENABLE_EXTENDED")
    assert {"BiasGelu", "SkipLayerNormalization", "FusedMatMul", "QuickGelu"} <= found
    learns(path, (6, 8), tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_optimised_convolutional_network_learns_and_is_exported(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    assert optimised(Picture(), torch.randn(1, 3, 6, 6), path, 13, "ORT_ENABLE_EXTENDED") == {"FusedConv", "FusedGemm"}
    learns(path, (3, 6, 6), tmp_path)


def learns(path: Path, sample: tuple[int, ...], folder: Path) -> None:
    """Compile, learn and export a model by the commands; its first weights answer as the optimised file does."""
    x = RNG.normal(size=(40, *sample)).astype(np.float32)
    np.savez(folder / "data.npz", x=x, y=np.arange(40) % 5)
    done("compile", path, "--sparsity", "0", "--gradient-sparsity", "0", "--scaling", "none")
    done("export", folder / "m.sparcl", "--initial", "-o", folder / "first.onnx")
    answers = [verify.session(onnx.load(one)).run(None, {"x": x})[0] for one in (path, folder / "first.onnx")]
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-4, atol=1e-4)
    done("run", folder / "m.sparcl", "--data", f"npz:{folder / 'data.npz'}", "--tasks", "2", "--epochs", "1")
    done("export", folder / "m.sparcl")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_blocked_convolutions_are_refused_and_the_mend_works(tmp_path: Path) -> None:
    path, x = tmp_path / "m.onnx", torch.randn(1, 3, 6, 6)
    if not any("Reorder" in name for name in optimised(Picture(), x, path, 13, "ORT_ENABLE_ALL")):
        pytest.skip("this processor has no blocked layout")
    check_refused(call("compile", path), "com.microsoft.nchwc: Conv", "GraphOptimizationLevel.ORT_ENABLE_BASIC")
    assert optimised(Picture(), x, path, 13, "ORT_ENABLE_BASIC") == set()
    done("compile", path)
