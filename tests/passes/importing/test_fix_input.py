"""Inputs of any type and of free size become float32 of a fixed size; the model answers as before."""

import types
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from sparcl_compile import load, predict
from sparcl_compile.compiling.load import load_model
from sparcl_compile.interface.errors import DataError, FieldError, ModelError
from sparcl_compile.passes.core.model_input import ModelInput, input_of
from sparcl_compile.passes.importing import verify
from sparcl_compile.passes.importing.fix_input import FixInput
from sparcl_compile.passes.importing.import_forward import ImportForward
from sparcl_compile.passes.importing.remarks import remarks_of
from sparcl_compile.runtime.data.fitting import load_for
from sparcl_compile.runtime.data.kinds import as_samples
from tests.support.cli import call, check_refused, done, read_json

CLASSES, WORDS, LENGTH = 4, 30, 6
KINDS = {
    "uint8": TensorProto.UINT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "float64": TensorProto.DOUBLE,
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
}
RUN = ("--tasks", "2", "--epochs", "20", "--batch-size", "8", "--buffer", "20", "--threads", "1")
FLOAT = TensorProto.FLOAT
node = helper.make_node


def weights(dtype: type = np.float32, **shapes: tuple[int, ...]) -> list[onnx.TensorProto]:
    rng = np.random.default_rng(4)
    scaled = {name: rng.normal(size=shape) / np.sqrt(shape[-1]) for name, shape in shapes.items()}
    return [numpy_helper.from_array(array.astype(dtype), name) for name, array in scaled.items()]


def write(path: Path, nodes: list[onnx.NodeProto], stored: list[onnx.TensorProto], kind: str, *shape: Any) -> Path:
    inputs = [helper.make_tensor_value_info("x", KINDS[kind], shape)]
    out = FLOAT if stored[0].data_type == FLOAT else stored[0].data_type
    outputs = [helper.make_tensor_value_info("z", out, ["N", CLASSES])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def perceptron(source: str) -> list[onnx.NodeProto]:
    return [
        node("Gemm", [source, "a", "b"], ["h"], transB=1),
        node("Relu", ["h"], ["r"]),
        node("Gemm", ["r", "c", "d"], ["z"], transB=1),
    ]


PERCEPTRON = {"a": (16, 5), "b": (16,), "c": (CLASSES, 16), "d": (CLASSES,)}


def vectors(path: Path, kind: str, *, cast: bool, dtype: type = np.float32) -> Path:
    before = [node("Cast", ["x"], ["k"], to=FLOAT)] if cast else []
    return write(path, [*before, *perceptron("k" if cast else "x")], weights(dtype, **PERCEPTRON), kind, "N", 5)


def pictures(path: Path, *, moved: bool, size: tuple[Any, Any] = (6, 6), kind: str = "uint8") -> Path:
    """Bytes that the graph casts and divides by 255, before or after it moves the channels."""
    first = [node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2])] if moved else []
    cast = [node("Cast", ["t" if moved else "x"], ["k"], to=FLOAT), node("Div", ["k", "s"], ["p"])]
    nodes = [
        *first,
        *(cast if kind == "uint8" else []),
        node("Conv", ["p" if kind == "uint8" else "x", "w"], ["y"], pads=[1, 1, 1, 1]),
        node("Relu", ["y"], ["r"]),
        node("GlobalAveragePool", ["r"], ["m"]),
        node("Flatten", ["m"], ["f"]),
        node("Gemm", ["f", "c"], ["z"], transB=1),
    ]
    stored = [*weights(w=(16, 3, 3, 3), c=(CLASSES, 16)), numpy_helper.from_array(np.float32(255), "s")]
    return write(path, nodes, stored, kind, *(["N", *size, 3] if moved else ["N", 3, *size]))


def tokens(path: Path, kind: str = "int64", rows: int = WORDS) -> Path:
    """A table, positions, a projection with an activation, the mean over the tokens and a head."""
    nodes = [
        node("Gather", ["e", "x"], ["g"]),
        node("Add", ["g", "positions"], ["q"]),
        node("MatMul", ["q", "m"], ["v"]),
        node("Relu", ["v"], ["r"]),
        node("ReduceMean", ["r"], ["u"], axes=[1], keepdims=0),
        node("Gemm", ["u", "c"], ["z"], transB=1),
    ]
    shapes = {"e": (rows, 8), "positions": (1, LENGTH, 8), "m": (8, 16), "c": (CLASSES, 16)}
    return write(path, nodes, weights(**shapes), kind, "N", LENGTH)


def fixed(path: Path, **options: Any) -> ir.Model:
    model = load_model(path)
    assert FixInput(**options)(model).modified
    assert not FixInput(**options)(model).modified
    return model


def agrees(path: Path, x: np.ndarray, tolerance: float = 1e-5) -> ir.Model:
    """Import a file and compare it with what ONNX Runtime says to the file itself."""
    model = fixed(path)
    ImportForward()(model)
    wanted = verify.session(onnx.load(path)).run(["z"], {"x": x})[0]
    found = verify.run(ir.to_proto(model), x.astype(np.float32), "logits")
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)
    return model


@pytest.mark.parametrize("kind", ["int32", "int64", "float64", "float16"])
def test_an_input_that_the_graph_casts_is_float32(kind: str, tmp_path: Path) -> None:
    x = np.random.default_rng(1).integers(-5, 9, (4, 5)).astype(kind)
    model = agrees(vectors(tmp_path / "m.onnx", kind, cast=True), x)
    assert input_of(model) == ModelInput(kind)
    assert "Cast" not in [one.op_type for one in model.graph]


@pytest.mark.parametrize(("kind", "dtype", "tolerance"), [("float64", np.float64, 1e-5), ("float16", np.float16, 1e-2)])
def test_a_graph_of_other_floats_is_float32(kind: str, dtype: type, tolerance: float, tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(4, 5)).astype(dtype)
    model = agrees(vectors(tmp_path / "m.onnx", kind, cast=False, dtype=dtype), x, tolerance)
    assert f"all that computes in {kind} became float32" in remarks_of(model)


def test_the_rounding_of_halves_is_no_other_answer(tmp_path: Path) -> None:
    """Sums of 200 products of float16 are off by more than float32 allows, which was taken for rows that mix."""
    stored = weights(np.float16, a=(200, 5), b=(200,), c=(CLASSES, 200), d=(CLASSES,))
    path = write(tmp_path / "m.onnx", perceptron("x"), stored, "float16", 4, 5)
    agrees(path, np.random.default_rng(1).normal(size=(4, 5)).astype(np.float16), 1e-2)


def test_float16_weights_behind_a_float32_input(tmp_path: Path) -> None:
    nodes = [node("Cast", ["x"], ["k"], to=TensorProto.FLOAT16), *perceptron("k")]
    path = write(tmp_path / "m.onnx", nodes, weights(np.float16, **PERCEPTRON), "float32", "N", 5)
    agrees(path, np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32), 1e-2)


@pytest.mark.parametrize("moved", [False, True])
def test_bytes_are_fed_as_they_are(moved: bool, tmp_path: Path) -> None:
    path = pictures(tmp_path / "m.onnx", moved=moved)
    x = np.random.default_rng(1).integers(0, 256, (4, 6, 6, 3) if moved else (4, 3, 6, 6)).astype(np.uint8)
    assert input_of(agrees(path, x)) == ModelInput("uint8", raw=True)


@pytest.mark.parametrize("kind", ["int32", "int64"])
def test_tokens_are_rounded_and_their_table_is_known(kind: str, tmp_path: Path) -> None:
    path = tokens(tmp_path / "m.onnx", kind)
    x = np.random.default_rng(1).integers(0, WORDS, (4, LENGTH)).astype(kind)
    model = agrees(path, x)
    assert input_of(model) == ModelInput(kind, raw=True, rows=WORDS)
    nearly = verify.run(ir.to_proto(model), x.astype(np.float32) * np.float32(1 - 1e-6), "logits")
    np.testing.assert_array_equal(nearly, verify.run(ir.to_proto(model), x.astype(np.float32), "logits"))


def test_text_in_text_out() -> None:
    model = ir.from_onnx_text("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (int64[N,3] x) => (float[N,3,2] y) <float[4,2] e = {0,1,2,3,4,5,6,7}> { [look] y = Gather (e, x) }
    """)
    assert FixInput()(model).modified
    assert [(one.op_type, [v.name for v in one.inputs], one.outputs[0].name) for one in model.graph] == [
        ("Round", ["x"], "x.rounded"),
        ("Cast", ["x.rounded"], "x.whole"),
        ("Gather", ["e", "x.whole"], "y"),
    ]
    assert not FixInput()(model).modified


def test_a_float32_model_of_fixed_size_is_left_alone(tmp_path: Path) -> None:
    model = load_model(vectors(tmp_path / "m.onnx", "float32", cast=False))
    assert not FixInput()(model).modified
    assert not FixInput(input_shape="N,5")(model).modified
    assert input_of(model) == ModelInput()


# Free lengths


@pytest.mark.parametrize(("given", "size"), [("N,3,8,10", (8, 10)), ("1, 3, 6, 6", (6, 6)), ("batch,3,7,5", (7, 5))])
def test_free_lengths_are_those_of_the_option(given: str, size: tuple[int, int], tmp_path: Path) -> None:
    path = pictures(tmp_path / "m.onnx", moved=False, size=("H", "W"), kind="float32")
    model = fixed(path, input_shape=given)
    assert list(model.graph.inputs[0].shape or ())[1:] == [3, *size]
    ImportForward()(model)


@pytest.mark.parametrize(
    ("given", "mend"),
    [
        ("N,1,8,8", "does not fit input x of the file, [N, 3, H, W]; give N,3,8,8"),
        ("N,3,8", "does not fit input x of the file, [N, 3, H, W]; give N,3,8,32"),
        ("3", "the batch first, for example N,3,224,224"),
        ("N,3,0,8", "the batch first, for example N,3,224,224"),
        ("3x8x8", "the batch first, for example N,3,224,224"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_mend_works(given: str, mend: str, tmp_path: Path) -> None:
    path = pictures(tmp_path / "m.onnx", moved=False, size=("H", "W"), kind="float32")
    check_refused(call("compile", path, "--input-shape", given), "--input-shape", mend)
    done("compile", path, "--input-shape", mend.split()[-1])
    with pytest.raises(FieldError):
        FixInput(input_shape=given)(load_model(path))


def test_the_shape_of_several_inputs_is_refused() -> None:
    model = ir.from_onnx_text("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[N,3] x, float[N,3] y) => (float[N,3] z) { z = Add (x, y) }
    """)
    assert not FixInput()(model).modified
    with pytest.raises(FieldError, match="is for one input, the model has 2"):
        FixInput(input_shape="N,3")(model)


def test_free_lengths_are_refused_with_an_example_that_the_model_takes(tmp_path: Path) -> None:
    """The head takes 4x4 planes of 16 channels: the example cannot be guessed from the input."""
    nodes = [
        node("Conv", ["x", "w"], ["y"], strides=[16, 16], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Flatten", ["y"], ["f"]),
        node("Gemm", ["f", "c"], ["z"], transB=1),
    ]
    stored = weights(w=(16, 3, 3, 3), c=(CLASSES, 256))
    path = write(tmp_path / "m.onnx", nodes, stored, "float32", "N", 3, "H", "W")
    refused = call("compile", path)
    check_refused(refused, "free dimensions (H, W)", "fix them by --input-shape N,3,64,64")
    done("compile", path, *refused.err.split()[-2:], "--sparsity", "0.5")
    with pytest.raises(ModelError, match="`input_shape` N,3,64,64"):
        FixInput()(load_model(path))


def test_a_model_of_free_size_learns_and_is_exported(tmp_path: Path) -> None:
    path = pictures(tmp_path / "m.onnx", moved=False, size=("H", "W"), kind="float32")
    done("compile", path, "--input-shape", "N,3,6,6", "--sparsity", "0.5")
    source = images(tmp_path)
    done("run", tmp_path / "m.sparcl", "--data", source, *RUN[:2], "--epochs", "1", "--threads", "1")
    done("export", tmp_path / "m.sparcl")
    (given,) = onnx.load(tmp_path / "m.learned.onnx").graph.input
    assert [dim.dim_value or dim.dim_param for dim in given.type.tensor_type.shape.dim] == ["N", 3, 6, 6]


# By the commands


def save(folder: Path, x: np.ndarray, y: np.ndarray) -> str:
    np.savez(folder / "data.npz", x=x, y=y)
    return f"npz:{folder / 'data.npz'}"


def images(folder: Path, dtype: type = np.uint8) -> str:
    rng, y = np.random.default_rng(6), np.arange(80) % CLASSES
    colours = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [200, 200, 30]])
    x = colours[y][:, :, None, None] + rng.integers(-20, 20, (80, 3, 6, 6))
    return save(folder, x.astype(dtype), y)


def sentences(folder: Path, dtype: type = np.int64, **changes: int) -> str:
    rng, y = np.random.default_rng(6), np.arange(120) % CLASSES
    x = rng.integers(CLASSES, WORDS, (120, LENGTH))
    x[:, 1], x[:, 4] = y, y
    x[11, 2] = changes.get("bad", x[11, 2])
    return save(folder, x.astype(dtype), y)


def learned(folder: Path, source: str, *more: str) -> float:
    done("run", folder / "m.sparcl", "--data", source, *RUN, *more, "--json", folder / "r.json")
    return float(read_json(folder / "r.json")["class_il"])


def exported(folder: Path, x: np.ndarray) -> np.ndarray:
    """The answers of the exported file to samples in the file's own type."""
    done("export", folder / "m.sparcl")
    session = onnxruntime.InferenceSession(folder / "m.learned.onnx", providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


@pytest.mark.parametrize("moved", [False, True])
def test_bytes_learn_and_are_exported(moved: bool, tmp_path: Path) -> None:
    outcome = done("compile", pictures(tmp_path / "m.onnx", moved=moved), "--sparsity", "0.5")
    assert "takes uint8: samples are fed as they are" in " ".join(outcome.out.split())
    assert learned(tmp_path, images(tmp_path), "--lr", "0.5") > 90
    x = np.load(tmp_path / "data.npz")["x"]
    answers = exported(tmp_path, np.moveaxis(x, 1, 3) if moved else x)
    np.testing.assert_allclose(answers, predict(load(tmp_path / "m.sparcl"), x), rtol=1e-4, atol=1e-4)


def test_bytes_may_be_numbers_of_another_type_but_no_floats(tmp_path: Path) -> None:
    done("compile", pictures(tmp_path / "m.onnx", moved=False), "--sparsity", "0.5")
    for dtype in (np.int64, np.uint16):
        done("run", tmp_path / "m.sparcl", "--data", images(tmp_path, dtype), *RUN[:2], "--epochs", "1")
    refused = call("run", tmp_path / "m.sparcl", "--data", images(tmp_path), *RUN, "--normalise", "unit")
    check_refused(refused, "--normalise unit: the model was made for values as they are; leave it out")
    refused = call("run", tmp_path / "m.sparcl", "--data", images(tmp_path, np.float32), *RUN)
    check_refused(refused, "gives float32, and the model takes bytes: save it as uint8 (0 to 255)")
    x, y = np.load(tmp_path / "data.npz").values()
    wide = save(tmp_path, x.astype(np.int64) + 200, y)
    check_refused(call("run", tmp_path / "m.sparcl", "--data", wide, *RUN), "the model takes 0 to 255")


def test_tokens_learn_and_are_exported(tmp_path: Path) -> None:
    done("compile", tokens(tmp_path / "m.onnx"), "--sparsity", "0.5", "--gradient-sparsity", "0")
    source = sentences(tmp_path)
    assert learned(tmp_path, source, "--lr", "0.5") > 60
    x = np.load(tmp_path / "data.npz")["x"]
    answers = exported(tmp_path, x)
    found = predict(load(tmp_path / "m.sparcl"), x[:, :, None, None])
    np.testing.assert_allclose(answers, found, rtol=1e-4, atol=1e-4)


def test_tokens_of_any_type_are_the_same_samples(tmp_path: Path) -> None:
    done("compile", tokens(tmp_path / "m.onnx"), "--sparsity", "0.5")
    model = load(tmp_path / "m.sparcl").manifest.model
    found = [load_for(sentences(tmp_path, dtype), model) for dtype in (np.int64, np.int32, np.uint8, np.float32)]
    assert {one.x_train.dtype for one in found} == {np.dtype(np.float32)}
    assert len({one.fingerprint() for one in found}) == 1


@pytest.mark.parametrize("bad", [WORDS, -1])
def test_a_token_beyond_the_table_is_refused_when_the_data_are_read(bad: int, tmp_path: Path) -> None:
    done("compile", tokens(tmp_path / "m.onnx"), "--sparsity", "0.5")
    refused = call("run", tmp_path / "m.sparcl", "--data", sentences(tmp_path, bad=bad), *RUN)
    check_refused(refused, f"holds {bad} in sample", f"the model's table has {WORDS} rows", f"0 to {WORDS - 1}")


def test_tokens_that_are_not_whole_or_to_be_cropped_are_refused(tmp_path: Path) -> None:
    done("compile", tokens(tmp_path / "m.onnx"), "--sparsity", "0.5")
    source = sentences(tmp_path)
    check_refused(call("run", tmp_path / "m.sparcl", "--data", source, *RUN, "--augment", "crop_flip"), "--augment")
    x, y = np.load(tmp_path / "data.npz").values()
    halves = save(tmp_path, x + np.float32(0.5), y)
    check_refused(call("run", tmp_path / "m.sparcl", "--data", halves, *RUN), "takes whole numbers; save it as int64")


@pytest.mark.parametrize("kind", ["int64", "float64", "float16"])
def test_vectors_of_any_type_learn(kind: str, tmp_path: Path) -> None:
    dtype = np.float32 if kind == "int64" else np.dtype(kind).type
    done("compile", vectors(tmp_path / "m.onnx", kind, cast=kind == "int64", dtype=dtype), "--sparsity", "0.5")
    y = np.arange(80) % CLASSES
    x = 40 * np.eye(5)[y] + np.random.default_rng(6).normal(scale=5, size=(80, 5))
    assert learned(tmp_path, save(tmp_path, x.astype(kind), y)) > 90
    done("export", tmp_path / "m.sparcl")


def test_samples_for_bytes_as_numbers_beyond_them() -> None:
    with pytest.raises(DataError, match="numbers from 0 to 16777216"):
        as_samples("npz:f", "x", np.asarray([0, 2**24]), _model("int64"))
    assert as_samples("npz:f", "x", np.asarray([0, 2**24]), _model("float32")).dtype == np.int64


def _model(kind: str) -> Any:
    return types.SimpleNamespace(input_type=kind)


class Transformer(torch.nn.Module):
    """Embedding, positions and one encoder layer that does not look at the token 0."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = torch.nn.Embedding(WORDS, 8, padding_idx=0), torch.nn.Embedding(LENGTH, 8)
        self.layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = torch.nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.words(x) + self.places(torch.arange(x.shape[1]))
        return self.head(self.layer(z, src_key_padding_mask=x == 0)[:, 0])


@pytest.mark.filterwarnings("ignore")
def test_a_transformer_over_tokens_learns_and_is_exported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    how = {"input_names": ["x"], "dynamic_axes": {"x": {0: "N"}}, "opset_version": 17, "dynamo": False}
    how |= {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    torch.onnx.export(
        Transformer().eval(), (torch.ones(1, LENGTH, dtype=torch.int64),), str(tmp_path / "m.onnx"), **how
    )
    done("compile", tmp_path / "m.onnx", "--sparsity", "0.5")
    source = sentences(tmp_path)
    done("run", tmp_path / "m.sparcl", "--data", source, "--tasks", "2", "--epochs", "1", "--threads", "1")
    x = np.load(tmp_path / "data.npz")["x"]
    found = predict(load(tmp_path / "m.sparcl"), x[:, :, None, None])
    np.testing.assert_allclose(exported(tmp_path, x), found, rtol=1e-4, atol=1e-4)
